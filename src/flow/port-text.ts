/** Text form of OpenFlow ports (32-bit numbers; reserved ones are 0xffffff00 and up). */

/** Names that ports have for users, beside the reserved ones. */
export interface PortNames {
  /** The port's name, or null. */
  nameOf(port: number): string | null;
  /** The port of that name, or null. */
  numberOf(name: string): number | null;
}

export const OFPP_MAX = 0xffffff00;
export const OFPP_UNSET = 0xfffffff7;
export const OFPP_IN_PORT = 0xfffffff8;
export const OFPP_TABLE = 0xfffffff9;
export const OFPP_NORMAL = 0xfffffffa;
export const OFPP_FLOOD = 0xfffffffb;
export const OFPP_ALL = 0xfffffffc;
export const OFPP_CONTROLLER = 0xfffffffd;
export const OFPP_LOCAL = 0xfffffffe;
/** "Any port" in requests, "no port" elsewhere. */
export const OFPP_ANY = 0xffffffff;

const RESERVED: readonly (readonly [string, number])[] = [
  ['IN_PORT', OFPP_IN_PORT],
  ['TABLE', OFPP_TABLE],
  ['NORMAL', OFPP_NORMAL],
  ['FLOOD', OFPP_FLOOD],
  ['ALL', OFPP_ALL],
  ['CONTROLLER', OFPP_CONTROLLER],
  ['LOCAL', OFPP_LOCAL],
  ['ANY', OFPP_ANY],
  ['UNSET', OFPP_UNSET],
  ['NONE', OFPP_ANY],
];

/** A name as flow texts show it: in quotes, with escapes as in JSON, unless it is plain letters and digits. */
export function quoteName(name: string): string {
  return /^[A-Za-z][A-Za-z0-9]*$/.test(name) ? name : JSON.stringify(name);
}

/** A name as it may stand in a flow text, out of its quotes; null if the quotes don't hold a JSON string. */
export function unquoteName(text: string): string | null {
  if (!text.startsWith('"')) return text;
  try {
    const name: unknown = JSON.parse(text);
    return typeof name === 'string' ? name : null;
  } catch {
    return null;
  }
}

/** Name of a reserved port, or null. */
export function reservedPortName(port: number): string | null {
  return RESERVED.find(([, n]) => n === port)?.[0] ?? null;
}

/** LOCAL and the like, or the name that `names` has, or the number. */
export function formatPort(port: number, names: PortNames | null = null): string {
  const reserved = reservedPortName(port);
  if (reserved !== null) return reserved;
  const name = names?.nameOf(port) ?? null;
  if (name !== null) return quoteName(name);
  return String(port >= OFPP_MAX ? port & 0xffff : port);
}

/**
 * A port by number (16-bit reserved numbers are widened), reserved name in any case, or name that
 * `names` knows, in quotes or not. Null if it is none of these.
 */
export function parsePort(text: string, names: PortNames | null = null): number | null {
  if (/^\+?\d+$/.test(text)) {
    const n = Number(text);
    if (n < 0xff00) return n;
    if (n <= 0xffff) return (n | 0xffff0000) >>> 0;
    return n >= OFPP_MAX && n <= 0xffffffff ? n : null;
  }
  const upper = text.toUpperCase();
  const reserved = RESERVED.find(([name]) => name === upper);
  if (reserved !== undefined) return reserved[1];
  const name = unquoteName(text);
  return name === null ? null : (names?.numberOf(name) ?? null);
}
