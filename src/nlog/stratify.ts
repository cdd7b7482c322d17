import type { Report, Span } from './diagnostics.ts';
import { where } from './diagnostics.ts';
import type { Aggregate, Rule, Stratum, Table } from './program.ts';

interface Edge {
  readonly from: Table;
  readonly to: Table;
  /** How `to` depends on `from`: through a negation or an aggregate it needs `from` complete. */
  readonly via: 'join' | 'not' | 'aggregate';
  readonly span: Span;
}

/**
 * Orders the tables so that each comes after what it depends on; tables that depend on each other share
 * a stratum. A negation or an aggregate inside such a circle has no meaning and is an error.
 */
export function stratify(
  program: {
    readonly tables: readonly Table[];
    readonly rules: readonly Rule[];
    readonly aggregates: readonly Aggregate[];
  },
  report: Report,
): Stratum[] {
  const edges: Edge[] = [];
  for (const rule of program.rules)
    for (const l of rule.body)
      if (l.kind === 'atom')
        edges.push({ from: l.table, to: rule.head, via: l.negated ? 'not' : 'join', span: l.span });
  for (const a of program.aggregates)
    edges.push({ from: a.source, to: a.head, via: 'aggregate', span: a.span });

  const into = new Map<Table, Edge[]>(program.tables.map((t) => [t, []]));
  for (const e of edges) into.get(e.to)!.push(e);
  const components = tarjan(program.tables, (t) => into.get(t)!.map((e) => e.from));
  const component = new Map<Table, number>();
  components.forEach((c, i) => {
    for (const t of c) component.set(t, i);
  });
  for (const e of edges)
    if (e.via !== 'join' && component.get(e.from) === component.get(e.to))
      reportCircle(e, into, component, report);
  return components.map((tables) => ({
    tables: [...tables].sort((a, b) => a.id - b.id),
    recursive: tables.length > 1 || into.get(tables[0])!.some((e) => e.from === tables[0]),
  }));
}

/** Strongly connected components, each after those it depends on. Iterative: programs may be deep. */
function tarjan(nodes: readonly Table[], before: (t: Table) => readonly Table[]): Table[][] {
  const index = new Map<Table, number>();
  const low = new Map<Table, number>();
  const onStack = new Set<Table>();
  const stack: Table[] = [];
  const out: Table[][] = [];
  for (const root of nodes) {
    if (index.has(root)) continue;
    const work: { node: Table; next: readonly Table[]; at: number }[] = [];
    const enter = (node: Table): void => {
      index.set(node, index.size);
      low.set(node, index.get(node)!);
      stack.push(node);
      onStack.add(node);
      work.push({ node, next: before(node), at: 0 });
    };
    enter(root);
    while (work.length > 0) {
      const frame = work[work.length - 1];
      if (frame.at < frame.next.length) {
        const next = frame.next[frame.at++];
        if (!index.has(next)) enter(next);
        else if (onStack.has(next)) low.set(frame.node, Math.min(low.get(frame.node)!, index.get(next)!));
        continue;
      }
      work.pop();
      if (work.length > 0) {
        const parent = work[work.length - 1].node;
        low.set(parent, Math.min(low.get(parent)!, low.get(frame.node)!));
      }
      if (low.get(frame.node) !== index.get(frame.node)) continue;
      const members: Table[] = [];
      for (let t = stack.pop()!; ; t = stack.pop()!) {
        onStack.delete(t);
        members.push(t);
        if (t === frame.node) break;
      }
      out.push(members);
    }
  }
  return out;
}

/** Names one shortest way round: "a needs not b, b needs c, c needs a". */
function reportCircle(
  bad: Edge,
  into: ReadonlyMap<Table, readonly Edge[]>,
  component: ReadonlyMap<Table, number>,
  report: Report,
): void {
  const home = component.get(bad.to);
  const via = new Map<Table, Edge>();
  const queue: Table[] = [bad.from];
  for (let t = queue.shift(); t !== undefined && t !== bad.to; t = queue.shift())
    for (const e of into.get(t)!)
      if (component.get(e.from) === home && !via.has(e.from) && e.from !== bad.from) {
        via.set(e.from, e);
        queue.push(e.from);
      }
  const steps: Edge[] = [bad];
  for (let t = bad.to; t !== bad.from; ) {
    const e = via.get(t)!;
    steps.push(e);
    t = e.to;
  }
  const shown = (t: Table): string => t.name.split('/')[0];
  const words = [steps[0], ...steps.slice(1).reverse()]
    .filter((e) => shown(e.to) !== shown(e.from) || steps.length === 1 || e === bad)
    .map(
      (e) =>
        `"${shown(e.to)}" needs ${e.via === 'not' ? 'not ' : e.via === 'aggregate' ? 'an aggregate of ' : ''}"${shown(e.from)}" (${where(e.span)})`,
    );
  const how = bad.via === 'not' ? 'its own negation' : 'an aggregate of itself';
  report.error(
    'unstratifiable',
    bad.span,
    `"${shown(bad.to)}" depends on ${how}: ${[...new Set(words)].join(', ')}`,
    'break the circle: derive one of these tables without the others',
  );
}
