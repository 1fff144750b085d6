/**
 * The host name of a Host field or authority as routes are keyed: lower case, without port and without one
 * trailing dot; null where it is not a valid `host [":" port]`. Wider names of RFC 3986 (percent-encoding,
 * sub-delims) are refused, since no container has one and others may read them differently.
 */
export function hostName(value: string): string | null {
  if (value.charCodeAt(0) === 91 /* [ */) return literalName(value);
  let end = value.length;
  let upper = false;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (
      (code >= 97 && code <= 122) ||
      (code >= 48 && code <= 57) ||
      (code >= 45 && code <= 46) ||
      code === 95
    ) {
      continue;
    }
    if (code >= 65 && code <= 90) {
      upper = true;
    } else if (code === 58 /* : */) {
      if (!isPort(value, i + 1)) return null;
      end = i;
      break;
    } else {
      return null;
    }
  }
  if (end > 0 && value.charCodeAt(end - 1) === 46) end--;
  if (end === 0) return null;
  const name = end === value.length ? value : value.slice(0, end);
  return upper ? name.toLowerCase() : name;
}

function literalName(value: string): string | null {
  const close = value.indexOf(']');
  if (close < 0 || !/^[0-9a-f:.]+$/i.test(value.slice(1, close))) return null;
  if (close + 1 < value.length && !(value[close + 1] === ':' && isPort(value, close + 2))) return null;
  return value.slice(0, close + 1).toLowerCase();
}

/** Whether the rest of the text is a port: up to five digits, or none (RFC 3986, 3.2.3, allows it). */
function isPort(value: string, from: number): boolean {
  if (value.length - from > 5) return false;
  let port = 0;
  for (let i = from; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port < 65536;
}
