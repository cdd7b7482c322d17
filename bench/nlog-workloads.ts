import type { HostFunction, OpaqueType, Row } from '../src/nlog/index.ts';

/*
 * What the benchmarks of nlog compute: the logical networks of the NVP paper's evaluation (7,000
 * logical datapaths of 2 to 64 ports, 63,000 ports in all, on 3,000 hypervisors), at any size.
 */

export interface Port {
  readonly id: number;
  readonly datapath: number;
  readonly hypervisor: number;
}

export interface Network {
  readonly ports: readonly Port[];
  /** Ports of each datapath. */
  readonly sizes: readonly number[];
  readonly hypervisors: number;
  /** The hypervisors of the ports of each datapath. */
  readonly members: readonly ReadonlySet<number>[];
}

/** A small linear congruential generator: the same network on every machine. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `scale` 1 is the paper's size; sizes fall off exponentially and add up to 9 ports a datapath. */
export function network(scale: number): Network {
  const random = generator(7);
  const datapaths = Math.round(7000 * scale);
  const hypervisors = Math.round(3000 * scale);
  const sizes = Array.from({ length: datapaths }, () =>
    Math.min(64, 2 + Math.floor(-Math.log(1 - random()) * 7.5)),
  );
  let excess = sizes.reduce((a, b) => a + b, 0) - datapaths * 9;
  for (let i = 0; excess !== 0; i = (i + 1) % datapaths) {
    const change = excess > 0 ? -1 : 1;
    if (sizes[i] + change < 2 || sizes[i] + change > 64) continue;
    sizes[i] += change;
    excess += change;
  }
  const ports: Port[] = [];
  sizes.forEach((n, datapath) => {
    for (let i = 0; i < n; i++)
      ports.push({ id: ports.length, datapath, hypervisor: Math.floor(random() * hypervisors) });
  });
  const members = sizes.map(() => new Set<number>());
  for (const p of ports) members[p.datapath].add(p.hypervisor);
  return { ports, sizes, hypervisors, members };
}

const ADDRESSES = Array.from({ length: 3000 }, (_, h) => `10.0.${h >> 8}.${h & 255}`);
export const address = (hypervisor: number): string => ADDRESSES[hypervisor];
/** The tunnel port that the switch of a hypervisor gives a tunnel: here any number that the pair decides. */
export const tunnelPort = (from: number, to: number): number => 1 + ((from * 7919 + to) % 60_000);

export interface Match {
  readonly reg1: number;
}
export interface Actions {
  readonly output: number;
}

export const types: readonly OpaqueType[] = [
  { name: 'match', key: (m) => String((m as Match).reg1) },
  { name: 'actions', key: (a) => String((a as Actions).output) },
];

export const functions: readonly HostFunction[] = [
  {
    name: 'flow_expr_match_reg1',
    inputs: ['int'],
    outputs: ['match'],
    call: (reg1) => ({ reg1: reg1 as number }),
  },
  {
    name: 'flow_output_action',
    inputs: ['int'],
    outputs: ['actions'],
    call: (output) => ({ output: output as number }),
  },
];

/** The three rules of the paper's figure 6. */
export const TUNNELS = `
type match;
type actions;
input log_port(lport_id: int, log_datapath_id: int) key(lport_id);
input log_datapath_encap(log_datapath_id: int, encap: string) key(log_datapath_id);
input log_port_presence(lport_id: int, hv_id: int) key(lport_id);
input hypervisor_locator(hv_id: int, ip: string) key(hv_id);
input lport_stage_id(lport_id: int, processing_stage_id: int) key(lport_id);
input ovfdb_tport(hv_id: int, encap: string, dst_ip: string, port_no: int) key(hv_id, encap, dst_ip);
function flow_expr_match_reg1(stage: int) -> (expr: match);
function flow_output_action(port_no: int) -> (actions: actions);
table tunnel(dst_lport_id: int, src_hv_id: int, encap: string, dst_ip: string);
output ovfdb_tunnel(src_hv_id: int, encap: string, dst_ip: string);
output ovs_flow(src_hv_id: int, of_expr: match, of_actions: actions);

tunnel(dst_lport_id, src_hv_id, encap, dst_ip) :-
  log_port(src_lport_id, log_datapath_id),
  log_port(dst_lport_id, log_datapath_id),
  log_datapath_encap(log_datapath_id, encap),
  log_port_presence(src_lport_id, src_hv_id),
  log_port_presence(dst_lport_id, dst_hv_id),
  hypervisor_locator(dst_hv_id, dst_ip),
  not_equal(src_hv_id, dst_hv_id);
ovfdb_tunnel(src_hv_id, encap, dst_ip) :-
  tunnel(_, src_hv_id, encap, dst_ip);
ovs_flow(src_hv_id, of_expr, of_actions) :-
  tunnel(dst_lport_id, src_hv_id, encap, dst_ip),
  lport_stage_id(dst_lport_id, processing_stage_id),
  flow_expr_match_reg1(processing_stage_id, of_expr),
  ovfdb_tport(src_hv_id, encap, dst_ip, port_no),
  flow_output_action(port_no, of_actions);
`;

export interface Workload {
  readonly program: string;
  /** Inputs of the whole network. */
  load(n: Network): Iterable<[table: string, row: Row]>;
  /** What comes in answer to the outputs of the first transaction. */
  answer?(n: Network): Iterable<[table: string, row: Row]>;
  /** Inputs of one more port. */
  port(p: Port, n: Network): [table: string, row: Row][];
}

const tunnelPortRow = (a: number, b: number): [string, Row] => [
  'ovfdb_tport',
  [a, 'stt', address(b), tunnelPort(a, b)],
];

function* tunnelPortRows(n: Network): Iterable<[string, Row]> {
  const seen = new Set<number>();
  for (const set of n.members)
    for (const a of set)
      for (const b of set) {
        const pair = a * n.hypervisors + b;
        if (a === b || seen.has(pair)) continue;
        seen.add(pair);
        yield tunnelPortRow(a, b);
      }
}

function tunnelInputs(p: Port): [string, Row][] {
  return [
    ['log_port', [p.id, p.datapath]],
    ['log_port_presence', [p.id, p.hypervisor]],
    ['lport_stage_id', [p.id, p.id + 1]],
  ];
}

export const tunnels: Workload = {
  program: TUNNELS,
  *load(n) {
    for (let h = 0; h < n.hypervisors; h++) yield ['hypervisor_locator', [h, address(h)]];
    for (let d = 0; d < n.sizes.length; d++) yield ['log_datapath_encap', [d, 'stt']];
    for (const p of n.ports) yield* tunnelInputs(p);
  },
  answer: tunnelPortRows,
  port: (p, n) => [
    ...tunnelInputs(p),
    ...[...n.members[p.datapath]]
      .filter((h) => h !== p.hypervisor)
      .flatMap((h) => [tunnelPortRow(h, p.hypervisor), tunnelPortRow(p.hypervisor, h)]),
  ],
};

/*
 * A program of the depth of a real network hypervisor: about 20 tables stand between the inputs and each
 * flow. Two pipelines (known destinations, and floods) go on from the remote ports that each hypervisor
 * must reach; each table adds one more factor: encapsulation, tags, access lists, queues, ...
 */
const PIPELINE = (p: string): string => `
table ${p}_secured(hv: int, port: int, tun: int);
table ${p}_mac(hv: int, port: int, tun: int, mac: int);
table ${p}_tagged(hv: int, port: int, tun: int, tag: int);
table ${p}_staged(hv: int, port: int, tun: int, reg: int);
table ${p}_listed(hv: int, port: int, tun: int, reg: int, prio: int);
table ${p}_unlisted(hv: int, port: int, tun: int, reg: int);
table ${p}_ruled(hv: int, port: int, tun: int, reg: int, prio: int);
table ${p}_default(hv: int, port: int, tun: int, reg: int, prio: int);
table ${p}_marked(hv: int, port: int, tun: int, reg: int, mark: int);
table ${p}_queued(hv: int, port: int, tun: int, reg: int, queue: int);
table ${p}_metered(hv: int, port: int, tun: int, reg: int, queue: int);
table ${p}_sited(hv: int, port: int, tun: int, reg: int, queue: int);
table ${p}_allowed(hv: int, port: int, tun: int, reg: int, queue: int);
table ${p}_shaped(hv: int, port: int, tun: int, reg: int, out: int);
table ${p}_checked(hv: int, port: int, tun: int, reg: int, out: int);
table ${p}_placed(hv: int, port: int, reg: int, out: int);
table ${p}_matched(hv: int, port: int, expr: match, out: int);
table ${p}_acted(hv: int, port: int, expr: match, acts: actions);
output ${p}_flow(hv: int, expr: match, acts: actions, prio: int);

${p}_secured(h, p, t) :- tunnelled(h, p, t), not quarantined(p);
${p}_mac(h, p, t, m) :- ${p}_secured(h, p, t), port_mac(p, m);
${p}_tagged(h, p, t, v) :- ${p}_mac(h, p, t, m), port_tag(p, tag), v = tag + m * 0;
${p}_staged(h, p, t, r) :- ${p}_tagged(h, p, t, v), port_stage(p, s), r = s * 64 + v;
${p}_listed(h, p, t, r, prio) :- ${p}_staged(h, p, t, r), port_acl(p, prio);
${p}_unlisted(h, p, t, r) :- ${p}_staged(h, p, t, r), not port_acl(p, _);
${p}_ruled(h, p, t, r, prio) :- ${p}_listed(h, p, t, r, prio), prio < 100;
${p}_ruled(h, p, t, r, 0) :- ${p}_unlisted(h, p, t, r);
${p}_default(h, p, t, r, x) :- ${p}_ruled(h, p, t, r, prio), log_port(p, d), dp_default(d, a), x = prio * 4 + a;
${p}_marked(h, p, t, r, k) :- ${p}_default(h, p, t, r, x), log_port(p, d), dp_mark(d, mark), k = x * 8 + mark;
${p}_queued(h, p, t, r, q) :- ${p}_marked(h, p, t, r, k), port_queue(p, n), q = k * 8 + n;
${p}_metered(h, p, t, r, q) :- ${p}_queued(h, p, t, r, q), log_port(p, d), dp_meter(d);
${p}_sited(h, p, t, r, q) :- ${p}_metered(h, p, t, r, q), hv_site(h, _);
${p}_allowed(h, p, t, r, q) :- ${p}_sited(h, p, t, r, q), not port_down(p);
${p}_shaped(h, p, t, r, o) :- ${p}_allowed(h, p, t, r, q), o = q % 8;
${p}_checked(h, p, t, r, o) :- ${p}_shaped(h, p, t, r, o), hv_version(h, n), n >= 1;
${p}_placed(h, p, r, o) :- ${p}_checked(h, p, t, r, n), o = t * 8 + n;
${p}_matched(h, p, e, o) :- ${p}_placed(h, p, r, o), flow_expr_match_reg1(r, e);
${p}_acted(h, p, e, a) :- ${p}_matched(h, p, e, o), flow_output_action(o, a);
${p}_flow(h, e, a, 100) :- ${p}_acted(h, _, e, a);
`;

export const DEEP = `
type match;
type actions;
input log_port(port: int, dp: int) key(port);
input presence(port: int, hv: int) key(port);
input dp_encap(dp: int, encap: string) key(dp);
input dp_key(dp: int, vni: int) key(dp);
input dp_default(dp: int, action: int) key(dp);
input dp_mark(dp: int, mark: int) key(dp);
input dp_meter(dp: int);
input locator(hv: int, ip: string) key(hv);
input hv_site(hv: int, site: int) key(hv);
input hv_version(hv: int, version: int) key(hv);
input hv_down(hv: int);
input port_mac(port: int, mac: int) key(port);
input port_tag(port: int, tag: int) key(port);
input port_stage(port: int, stage: int) key(port);
input port_acl(port: int, prio: int);
input port_queue(port: int, queue: int) key(port);
input port_down(port: int);
input quarantined(port: int);
function flow_expr_match_reg1(stage: int) -> (expr: match);
function flow_output_action(port_no: int) -> (actions: actions);

table dp_on_hv(dp: int, hv: int);
table reach(hv: int, port: int, dp: int);
table located(hv: int, port: int, dst: int);
table remote(hv: int, port: int, dst: int);
table usable(hv: int, port: int, dst: int);
table addressed(hv: int, port: int, ip: string);
table encapsulated(hv: int, port: int, ip: string, encap: string);
table keyed(hv: int, port: int, ip: string, vni: int);
table tunnelled(hv: int, port: int, tun: int);

dp_on_hv(d, h) :- log_port(p, d), presence(p, h);
reach(h, p, d) :- dp_on_hv(d, h), log_port(p, d);
located(h, p, x) :- reach(h, p, _), presence(p, x);
remote(h, p, x) :- located(h, p, x), not_equal(h, x);
usable(h, p, x) :- remote(h, p, x), not hv_down(x);
addressed(h, p, ip) :- usable(h, p, x), locator(x, ip);
encapsulated(h, p, ip, e) :- addressed(h, p, ip), log_port(p, d), dp_encap(d, e);
keyed(h, p, ip, k) :- encapsulated(h, p, ip, _), log_port(p, d), dp_key(d, k);
tunnelled(h, p, t) :- keyed(h, p, ip, k), length(ip, n), t = k * 16 + n;
${PIPELINE('known')}
${PIPELINE('flood')}
`;

function deepInputs(p: Port): [string, Row][] {
  const rows: [string, Row][] = [
    ['log_port', [p.id, p.datapath]],
    ['presence', [p.id, p.hypervisor]],
    ['port_mac', [p.id, p.id * 3]],
    ['port_tag', [p.id, p.id % 50]],
    ['port_stage', [p.id, p.id + 1]],
    ['port_queue', [p.id, p.id % 8]],
  ];
  // 49,188 of the paper's 63,000 ports have access lists.
  if (p.id % 63_000 < 49_188) rows.push(['port_acl', [p.id, p.id % 90]]);
  return rows;
}

export const deep: Workload = {
  program: DEEP,
  *load(n) {
    for (let h = 0; h < n.hypervisors; h++) {
      yield ['locator', [h, address(h)]];
      yield ['hv_site', [h, h % 5]];
      yield ['hv_version', [h, 1 + (h % 3)]];
    }
    for (let d = 0; d < n.sizes.length; d++) {
      yield ['dp_encap', [d, 'stt']];
      yield ['dp_key', [d, d + 1]];
      yield ['dp_default', [d, d % 3]];
      yield ['dp_mark', [d, d % 7]];
      yield ['dp_meter', [d]];
    }
    for (const p of n.ports) yield* deepInputs(p);
  },
  port: deepInputs,
};
