/** CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as SCTP uses it (RFC 9260, appendix A). */
const TABLE = /* @__PURE__ */ (() => {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[i] = crc;
  }
  return table;
})();

/** The CRC of `b[from..to-1]`, unsigned. `running` continues one begun over bytes before. */
export function crc32c(b: Uint8Array, from = 0, to = b.length, running = 0): number {
  let crc = ~running;
  for (let i = from; i < to; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ b[i]) & 255];
  return ~crc >>> 0;
}

/**
 * The word as it stands, big-endian, in an SCTP header: the CRC's bytes go out least significant first.
 */
export function sctpChecksumWord(crc: number): number {
  return (((crc & 0xff) << 24) | ((crc & 0xff00) << 8) | ((crc >>> 8) & 0xff00) | (crc >>> 24)) >>> 0;
}
