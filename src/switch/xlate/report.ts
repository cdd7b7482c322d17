/** Kinds of line in a trace, which decide how it is shown. */
export type TraceKind =
  | 'bridge'
  | 'table'
  | 'bucket'
  | 'thaw'
  | 'action'
  | 'detail'
  | 'warn'
  | 'error'
  | 'recirc';

/** One line of a trace and what happened below it. */
export interface TraceNode {
  readonly kind: TraceKind;
  readonly text: string;
  readonly children: TraceNode[];
}

/** Collects a tree of what a translation did, for `ofproto/trace` and for people. */
export class TraceSink {
  readonly roots: TraceNode[] = [];
  #current: TraceNode[] = this.roots;

  /** Adds a line below the current one; returns its children, to descend with `enter`. */
  add(kind: TraceKind, text: string): TraceNode[] {
    const node: TraceNode = { kind, text, children: [] };
    this.#current.push(node);
    return node.children;
  }

  /** Makes later lines children of `list`; returns the list to come back to. */
  enter(list: TraceNode[]): TraceNode[] {
    const old = this.#current;
    this.#current = list;
    return old;
  }
}

/**
 * Renders a trace. Bridges get an underlined title; tables are numbered lines; actions stand below
 * their table, details behind `->`, warnings and errors behind `>>`.
 */
export function renderTrace(nodes: readonly TraceNode[], level = 0): string {
  let out = '';
  const indent = ' '.repeat(level);
  for (const node of nodes) {
    switch (node.kind) {
      case 'bridge':
        out += `\n${indent}${node.text}\n${indent}${'-'.repeat(node.text.length)}\n`;
        out += renderTrace(node.children, level);
        break;
      case 'table':
        out += `${indent}${node.text}\n`;
        out += renderTrace(node.children, level + 4);
        break;
      case 'thaw':
      case 'bucket':
        out += `${indent}${node.text}\n`;
        out += renderTrace(node.children, level + 4);
        break;
      case 'action':
        out += `${indent}${node.text}\n`;
        out += renderTrace(node.children, level + 4);
        break;
      case 'detail':
        out += `${indent} -> ${node.text}\n`;
        out += renderTrace(node.children, level + 4);
        break;
      case 'warn':
      case 'error':
        out += `${indent} >> ${node.text}\n`;
        out += renderTrace(node.children, level + 4);
        break;
      case 'recirc':
        out += `\n${indent}${node.text}\n${indent}${'='.repeat(node.text.length)}\n`;
        out += renderTrace(node.children, level);
        break;
    }
  }
  return out;
}
