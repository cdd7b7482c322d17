import type { Engine, HostFunction, OpaqueType } from '../../src/nlog/index.ts';

/** What the host gives the tunnel example: a match on register 1, and an output to a port. */
export interface Match {
  readonly reg1: number;
}

export interface Actions {
  readonly output: number;
}

const matchText = (m: object): string => `reg1=${(m as Match).reg1}`;
const actionsText = (a: object): string => `output:${(a as Actions).output}`;

export const types: readonly OpaqueType[] = [
  { name: 'match', key: matchText },
  { name: 'actions', key: actionsText },
];

export const functions: readonly HostFunction[] = [
  {
    name: 'flow_expr_match_reg1',
    inputs: ['int'],
    outputs: ['match'],
    call: (stage) => ({ reg1: stage as number }),
  },
  {
    name: 'flow_output_action',
    inputs: ['int'],
    outputs: ['actions'],
    call: (port) => ({ output: port as number }),
  },
];

/**
 * Plays the switches' part: each tunnel that is wanted gets the next free port number of its
 * hypervisor, which comes back as a row of `ovfdb_tport`. This is how an output table and an input table
 * are hooked together through code.
 */
export function assignTunnelPorts(engine: Engine): void {
  const ports = new Map<string, (string | undefined)[]>();
  engine.subscribe((changes) => {
    const { inserted, deleted } = changes.of('ovfdb_tunnel');
    engine.transaction((tx) => {
      for (const row of deleted) {
        const [hv, encap, ip] = row as readonly string[];
        const used = ports.get(hv) ?? [];
        const port = used.indexOf(`${encap} ${ip}`);
        used[port] = undefined;
        tx.delete('ovfdb_tport', [hv, encap, ip, port + 1]);
      }
      for (const row of inserted) {
        const [hv, encap, ip] = row as readonly string[];
        const used = ports.get(hv) ?? [];
        ports.set(hv, used);
        const free = used.indexOf(undefined);
        const port = free < 0 ? used.length : free;
        used[port] = `${encap} ${ip}`;
        tx.insert('ovfdb_tport', [hv, encap, ip, port + 1]);
      }
    });
  }, 'ovfdb_tunnel');
}
