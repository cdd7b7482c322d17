import type { XlateError } from './types.ts';

/** Kinds of line in a trace, which decide how it is shown. */
export type TraceKind = 'bridge' | 'table' | 'bucket' | 'thaw' | 'action' | 'detail' | 'warn' | 'error';

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

const LEAF_KINDS: ReadonlySet<TraceKind> = new Set<TraceKind>([
  'bucket',
  'action',
  'detail',
  'warn',
  'error',
]);

/**
 * Renders a trace as `ofproto/trace` shows it. The last of several siblings is not indented, so that a
 * long chain of resubmits stays flat; details stand behind `->`, warnings behind `>>`.
 */
export function renderTrace(nodes: readonly TraceNode[], level = 0): string {
  let out = '';
  nodes.forEach((node, i) => {
    const more = i < nodes.length - 1 || LEAF_KINDS.has(node.kind) ? 1 : 0;
    const indent = ' '.repeat((level + more) * 4);
    switch (node.kind) {
      case 'bridge':
        out += `\n${indent}${node.text}\n${indent}${'-'.repeat(node.text.length)}\n`;
        break;
      case 'detail':
        out += `${indent} -> ${node.text}\n`;
        break;
      case 'warn':
        out += `${indent} >> ${node.text}\n`;
        break;
      case 'error':
        out += `${indent} >>>> ${node.text} <<<<\n`;
        break;
      default:
        out += `${indent}${node.text}\n`;
    }
    out += renderTrace(node.children, level + more + more);
  });
  return out;
}

export const ERROR_TEXT: Readonly<Record<XlateError, string>> = {
  ok: 'OK',
  'bridge-not-found': 'Bridge not found',
  'recursion-too-deep': 'Recursion too deep',
  'too-many-resubmits': 'Too many resubmits',
  'stack-too-deep': 'Stack too deep',
  'no-recirculation-context': 'No recirculation context',
  'recirculation-conflict': 'Recirculation conflict',
  'too-many-mpls-labels': 'Too many MPLS labels',
  'invalid-tunnel-metadata': 'Invalid tunnel metadata',
  'unsupported-packet-type': 'Unsupported packet type',
  'forwarding-disabled': 'Forwarding disabled',
};
