/**
 * Port numbers: 32 bits here, 16 on OpenFlow 1.0's wire. Ports of a switch are below 0xff00; the
 * reserved ones stand at the top of either range.
 */
import { OFPP_MAX } from './constants.ts';
import { OfError } from './errors.ts';

const OFPP10_MAX = 0xff00;
const OFPP11_OFFSET = 0xffff0000;

/** A port of OpenFlow 1.0's 16 bits, widened. */
export function portFromWire16(port: number): number {
  return port >= OFPP10_MAX ? port + OFPP11_OFFSET : port;
}

/** A port in OpenFlow 1.0's 16 bits. One that does not fit (none of a switch's does) loses its high bits. */
export function portToWire16(port: number): number {
  return port & 0xffff;
}

/** A port of 32 bits. Throws OFPBAC_BAD_OUT_PORT for 0xff00 to 0xfffffeff, which no switch here has. */
export function portFromWire32(port: number): number {
  if (port >= OFPP10_MAX && port < OFPP_MAX) {
    throw new OfError(
      'OFPBAC_BAD_OUT_PORT',
      `port 0x${port.toString(16)} is neither below 0xff00 nor reserved (from 0x${OFPP_MAX.toString(16)} on)`,
    );
  }
  return port;
}
