/** Where the fields of programs' contexts stand: structures that the kernel shows to programs (linux/bpf.h). */

/** `struct __sk_buff`, of classifiers. All fields have 4 bytes, but for `tstamp` and `hwtstamp` with 8. */
export const skb = {
  len: 0,
  pktType: 4,
  mark: 8,
  queueMapping: 12,
  protocol: 16,
  vlanPresent: 20,
  vlanTci: 24,
  vlanProto: 28,
  priority: 32,
  ingressIfindex: 36,
  ifindex: 40,
  tcIndex: 44,
  /** Five words of scratch space that survive tail calls. */
  cb: 48,
  hash: 68,
  tcClassid: 72,
  data: 76,
  dataEnd: 80,
  napiId: 84,
  dataMeta: 140,
  tstamp: 152,
  wireLen: 160,
  gsoSegs: 164,
  gsoSize: 176,
  hwtstamp: 184,
  /** Bytes of the whole structure. */
  size: 192,
} as const;

/** `struct xdp_md`. All fields have 4 bytes. */
export const xdp = {
  data: 0,
  dataEnd: 4,
  dataMeta: 8,
  ingressIfindex: 12,
  rxQueueIndex: 16,
  egressIfindex: 20,
  size: 24,
} as const;

/** Verdicts of a classifier. `unspec` lets the next program of the device decide. */
export const TC_ACT = { unspec: -1, ok: 0, shot: 2, redirect: 7 } as const;
/** Verdicts of an XDP program. */
export const XDP_ACT = { aborted: 0, drop: 1, pass: 2, tx: 3, redirect: 4 } as const;
