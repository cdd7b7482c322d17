import { randomActions, TABLES } from './actions.ts';
import { randomMatch } from './matches.ts';
import type { Random } from './random.ts';

export interface Tables {
  readonly groups: readonly string[];
  readonly flows: readonly string[];
}

/** Flows in six tables, and the groups that they name. */
export function randomTables(r: Random): Tables {
  const numbers = r.oneIn(2) ? [] : [1, 2, 3, 4];
  return {
    groups: numbers.map((n) => randomGroup(r, n)),
    flows: r.many(5, 30, () => randomFlow(r, numbers)).flat(),
  };
}

function randomFlow(r: Random, groups: readonly number[]): string[] {
  const table = r.pick([0, 0, 0, 0, 1, 1, 2, 3, 4, 5]);
  if (r.oneIn(16)) return conjunction(r, table);
  const match = r.oneIn(5) ? { text: '', kind: 'eth' as const, tagged: false } : randomMatch(r);
  const head = `table=${table},priority=${r.int(65536)}${r.oneIn(6) ? `,cookie=0x${r.int(16).toString(16)}` : ''}`;
  const extra = r.oneIn(20)
    ? `,${r.pick(['idle_timeout=60', 'hard_timeout=600', 'send_flow_rem', 'importance=5', 'reset_counts', 'no_packet_counts'])}`
    : '';
  const actions = r.oneIn(12) ? 'drop' : randomActions(r, { match, table, groups, depth: 2 });
  return [`${head}${extra}${match.text === '' ? '' : `,${match.text}`},actions=${actions}`];
}

/** A conjunction of two dimensions with its flow. */
function conjunction(r: Random, table: number): string[] {
  const id = 1 + r.int(100);
  const head = `table=${table},priority=${r.pick([50, 60])}`;
  return [
    `${head},ip,nw_src=10.0.0.${1 + r.int(2)},actions=conjunction(${id},1/2)`,
    `${head},ip,nw_src=10.0.0.0/16,actions=conjunction(${id},1/2)`,
    `${head},ip,nw_dst=${r.pick(['10.0.0.2', '10.1.0.0/16'])},actions=conjunction(${id},2/2)`,
    `${head},tcp,tp_dst=${r.pick([80, 443])},actions=conjunction(${id},2/2)`,
    `${head},ip,conj_id=${id},actions=${r.pick([`resubmit(,${r.int(TABLES)})`, 'output:3', 'NORMAL'])}`,
  ];
}

function bucketActions(r: Random): string {
  const choices = [
    'output:1',
    'output:2',
    'output:3',
    'output:4',
    'output:6',
    'mod_vlan_vid:10,output:1',
    'mod_dl_dst:02:00:00:00:00:02,output:2',
    'set_field:3->reg0,resubmit(,2)',
    'resubmit(,3)',
    'NORMAL',
    'IN_PORT',
    'strip_vlan,output:3',
    'load:2->NXM_NX_REG1[],output:5',
  ];
  return r.pick(choices);
}

function randomGroup(r: Random, n: number): string {
  const buckets = (extra: (i: number) => string): string =>
    r
      .many(1, 3, () => '')
      .map((_, i) => `,bucket=bucket_id:${i}${extra(i)},${bucketActions(r)}`)
      .join('');
  switch (r.int(5)) {
    case 0:
      return `group_id=${n},type=indirect,bucket=${bucketActions(r)}`;
    case 1:
      return `group_id=${n},type=all${buckets(() => '')}`;
    case 2:
      return `group_id=${n},type=ff${buckets(() => `,watch_port:${r.pick([1, 2, 9])}`)}`;
    // Which of several live buckets a hash selects is each switch's own affair.
    case 3:
      return `group_id=${n},type=select,selection_method=hash,fields(${r.pick(['ip_dst', 'eth_src', 'eth_dst,ip_src', 'vlan_vid'])})${buckets((i) => `,weight:${i === 0 ? r.pick([1, 100]) : 0}`)}`;
    default:
      return `group_id=${n},type=select${r.oneIn(2) ? ',selection_method=dp_hash' : ''},bucket=bucket_id:0,weight:${r.pick([1, 100])},${bucketActions(r)}`;
  }
}
