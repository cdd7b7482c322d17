/** A small program with the inputs and outputs of the real one, so that tests of the network stand on their own. */
import { readFileSync } from 'node:fs';
import { check } from '../../../nlog/index.ts';
import type { RuleProgram } from '../rule-engine.ts';

const TEXT = `
include "inputs.nlog";
output flow(datapath: int, stage: string, priority: int, match: string, actions: string, origin: uuid);
output needs(node: string, datapath: int);
output placement(port: int, datapath: int, vif: string, node: string);
output tunnel(node: string, peer: string, encapsulation: string, address: string);
output rate(port: int, rate: int, burst: int, node: string);

table claim(vif: string, node: string, sequence: int);
table newest(vif: string, sequence: int);
table at(port: uuid, node: string);
claim(vif, node, s) :- vif_location(vif, node, s), transport_node(node);
newest(vif, max(s)) :- claim(vif, _, s);
at(port, node) :- logical_port(port, _, _, vif, _), newest(vif, s), claim(vif, node, s);

needs(node, d) :- at(port, node), logical_port(port, _, s, _, _), logical_switch(s, d, _);
needs(node, r) :- needs(node, d), logical_switch(s, d, _), router_port(_, router, s, _, _, _), logical_router(router, r);
needs(node, d) :- needs(node, r), logical_router(router, r), router_port(_, router, s, _, _, _), logical_switch(s, d, _);

placement(l, d, vif, node) :- at(port, node), logical_port(port, l, s, vif, _), logical_switch(s, d, _);

flow(d, "ls-in-destination", 50, m, "output", port) :-
  port_address(port, mac, ""), concat("dl_dst=", mac, m), logical_port(port, _, s, _, _), logical_switch(s, d, _);
flow(d, "ls-in-acl", p, m, a, id) :-
  acl(id, port, _, _, p, a), acl_match(id, m), logical_port(port, _, s, _, _), logical_switch(s, d, _);
flow(d, "ls-in-acl", p, m, a, id) :- acl(id, _, s, _, p, a), acl_match(id, m), logical_switch(s, d, _);
flow(r, "lr-in-route", 100 + len, m, "next", id) :-
  static_route(id, router, net, len, 4, _), concat("nw_dst=", net, m), logical_router(router, r);

rate(l, r, b, node) :- port_rate(port, r, b), at(port, node), logical_port(port, l, _, _, _);
tunnel(node, peer, e, address) :-
  needs(node, d), needs(peer, d), node != peer, tunnel_endpoint(peer, e, address, _, 0);
`;

export function testRules(text = TEXT): RuleProgram {
  const inputs = readFileSync(new URL('../../rules/inputs.nlog', import.meta.url), 'utf8');
  const program = check({ name: 'test.nlog', text }, (path) =>
    path === 'inputs.nlog' ? { name: path, text: inputs } : undefined,
  );
  return { program, functions: [] };
}
