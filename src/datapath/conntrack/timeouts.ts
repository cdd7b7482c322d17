/**
 * How long a connection lives without a packet, by what it is doing. Names and numbers (seconds) are those of Open vSwitch's
 * `CT_Timeout_Policy` table; those that a userspace datapath makes no use of (`tcp_close_wait`, ...) are not here.
 */
export const DEFAULT_TIMEOUTS = {
  tcp_syn_sent: 30,
  tcp_syn_recv: 30,
  tcp_established: 24 * 60 * 60,
  tcp_fin_wait: 15 * 60,
  tcp_time_wait: 45,
  tcp_close: 30,
  udp_first: 60,
  udp_single: 60,
  udp_multiple: 30,
  icmp_first: 60,
  icmp_reply: 30,
} as const;

export type TimeoutName = keyof typeof DEFAULT_TIMEOUTS;
/** Seconds; what is absent is as in DEFAULT_TIMEOUTS. */
export type TimeoutPolicy = Partial<Record<string, number>>;

/** Policies by name, as `ct(timeout=NAME)` gives it, and by the number that a connection keeps. */
export class TimeoutPolicies {
  readonly #numbers = new Map<string, number>();
  /** By number; 0 is the default one. */
  readonly #policies: (TimeoutPolicy | undefined)[] = [{}];
  readonly #free: number[] = [];

  /** Makes a policy, or gives the one of that name other values. Connections keep to the values of the day. */
  set(name: string, policy: TimeoutPolicy): void {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#free.pop() ?? this.#policies.length;
      this.#numbers.set(name, number);
    }
    this.#policies[number] = policy;
  }

  /** Its connections go on by the default one, as do those that a policy of the same number gets later. */
  delete(name: string): void {
    const number = this.#numbers.get(name);
    if (number === undefined) return;
    this.#numbers.delete(name);
    this.#policies[number] = undefined;
    this.#free.push(number);
  }

  /** Number of a policy; 0, the default one's, if there is none of that name. */
  number(name: string | undefined): number {
    return name === undefined ? 0 : (this.#numbers.get(name) ?? 0);
  }

  /** Milliseconds. */
  timeout(number: number, name: TimeoutName): number {
    return (this.#policies[number]?.[name] ?? DEFAULT_TIMEOUTS[name]) * 1000;
  }
}
