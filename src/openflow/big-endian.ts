/*
 * Big-endian numbers out of bytes that are there. By hand, because a DataView for each of the many small pieces that
 * messages are read in costs more than all that is read from it.
 */
/** Two bytes. */
export function be16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
export function be32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
export function be64(bytes: Uint8Array, at: number): bigint {
  const high = be32(bytes, at);
  const low = BigInt(be32(bytes, at + 4));
  return high === 0 ? low : (BigInt(high) << 32n) | low;
}

export function putBe32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
