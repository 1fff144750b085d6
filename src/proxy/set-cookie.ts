/**
 * A Set-Cookie value without a Domain attribute that names anything but the container's own host: a cookie for
 * the parent domain would reach every other container and the service's own pages.
 */
export function confineCookie(value: string, host: string): string {
  if (!/domain/i.test(value)) return value;
  const [pair, ...attributes] = value.split(';');
  const kept = attributes.filter((attribute) => {
    const [name, ...rest] = attribute.split('=');
    if (name!.trim().toLowerCase() !== 'domain') return true;
    return rest.join('=').trim().replace(/^\./, '').toLowerCase() === host;
  });
  return [pair, ...kept].join(';');
}
