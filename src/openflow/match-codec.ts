/** The match of flow mods, flow stats and the like, as each OpenFlow version writes it. */
import type { Match } from '../flow/match.ts';
import { type Reader, roundUp, type Writer } from './bytes.ts';
import { OfError } from './errors.ts';
import { OF11_MATCH_LENGTH, readOf11Match, writeOf11Match } from './legacy-match.ts';
import { type MatchOptions, readOxmList, writeOxmList } from './nx-match.ts';
import { OF11 } from './version.ts';

const OFPMT_STANDARD = 0;
const OFPMT_OXM = 1;

/**
 * Reads an OpenFlow 1.1+ match: type, length, fields, and the zeros that pad it to a multiple of 8.
 * `oxmOnly`: where only OXM may stand.
 */
export function readMatch(r: Reader, options?: MatchOptions, oxmOnly = false): Match {
  if (r.left < 4) throw new OfError('OFPBMC_BAD_LEN', `match header cut short: ${r.left} bytes`);
  const type = r.u16();
  const length = r.u16();
  if (type === OFPMT_STANDARD && !oxmOnly) {
    if (length !== OF11_MATCH_LENGTH || r.left < length - 4) {
      throw new OfError(
        'OFPBMC_BAD_LEN',
        `standard match of ${length} bytes, must be ${OF11_MATCH_LENGTH}; ${r.left} follow`,
      );
    }
    return readOf11Match(r);
  }
  if (type !== OFPMT_OXM) throw new OfError('OFPBMC_BAD_TYPE', `match of type ${type}`);
  if (length < 4) throw new OfError('OFPBMC_BAD_LEN', `OXM match of length ${length}, at least 4`);
  const padded = roundUp(length, 8);
  if (padded - 4 > r.left) {
    throw new OfError(
      'OFPBMC_BAD_LEN',
      `OXM match of ${padded} bytes with padding, only ${r.left + 4} are there`,
    );
  }
  const entries = r.sub(length - 4);
  r.skip(padded - length);
  return readOxmList(entries, options);
}

/** Writes the match that `version` (1.1 or later) wants, padded to a multiple of 8. */
export function writeMatch(w: Writer, match: Match, version: number): void {
  if (version === OF11) {
    writeOf11Match(w, match);
    return;
  }
  writeOxmMatch(w, match, version);
}

/** Writes an OXM match with its header, padded to a multiple of 8. Returns its length without padding. */
export function writeOxmMatch(w: Writer, match: Match, version: number): number {
  const start = w.length;
  w.u16(OFPMT_OXM);
  w.u16(0);
  writeOxmList(w, match, version);
  const length = w.length - start;
  w.setU16(start + 2, length);
  w.pad(8, start);
  return length;
}
