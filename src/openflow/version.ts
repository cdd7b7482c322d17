/** OpenFlow versions, as they stand in the first byte of each message. */
export const OF10 = 1;
export const OF11 = 2;
export const OF12 = 3;
export const OF13 = 4;
export const OF14 = 5;
export const OF15 = 6;

export type OfVersion = 1 | 2 | 3 | 4 | 5 | 6;

export const OF_VERSIONS: readonly OfVersion[] = [1, 2, 3, 4, 5, 6];

export function isOfVersion(version: number): version is OfVersion {
  return Number.isInteger(version) && version >= OF10 && version <= OF15;
}

/** `OpenFlow 1.3`, or `OpenFlow version 0x63` for one that does not exist. */
export function versionName(version: number): string {
  return isOfVersion(version)
    ? `OpenFlow 1.${version - 1}`
    : `OpenFlow version 0x${version.toString(16).padStart(2, '0')}`;
}

/** Experimenter ids that carry extension messages, actions, errors and fields. */
export const NX_VENDOR = 0x00002320;
export const ONF_VENDOR = 0x4f4e4600;
export const NTR_VENDOR = 0x0000154d;
export const NTR_COMPAT_VENDOR = 0x00001540;
export const INTEL_VENDOR = 0x0000aa01;
