import { BlockList, isIP } from 'node:net';

/** A set of addresses, given as addresses and CIDR ranges. */
export interface AddressSet {
  has(address: string): boolean;
}

/** Makes a set of texts like `10.0.0.0/8`, `::1`; throws where one is neither. */
export function addressSet(texts: readonly string[]): AddressSet {
  const list = new BlockList();
  for (const text of texts) {
    const [address, bits, ...rest] = text.split('/') as [string, ...string[]];
    const family = isIP(address);
    const width = family === 6 ? 128 : 32;
    const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (family === 0 || rest.length > 0 || prefix < 0 || prefix > width) {
      throw new Error(`"${text}" is neither an IP address nor a range like 10.0.0.0/8`);
    }
    list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4');
  }
  return {
    has: (address) => texts.length > 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'),
  };
}

/** An address as people write it: a listener for both families shows IPv4 clients as ::ffff:192.0.2.1. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
