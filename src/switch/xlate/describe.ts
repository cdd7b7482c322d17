import type { Rule } from '../ofproto/rule.ts';
import type { XlateContext } from './context.ts';

/** The line of a trace that tells which flow of a table a packet met. */
export function describeRule(ctx: XlateContext, rule: Rule, table: number): string {
  const number = `${String(table).padStart(2)}. `;
  const { ofproto } = ctx;
  if (rule === ofproto.missRule) return `${number}No match, and a "packet-in" is called for.`;
  if (rule === ofproto.noPacketInRule) return `${number}No match.`;
  if (rule === ofproto.dropFragsRule) {
    return `${number}Packets are IP fragments and the fragment handling mode is "drop".`;
  }
  const match = ofproto.formatMatch(rule);
  const cookie = rule.cookie === 0n ? '' : `, cookie 0x${rule.cookie.toString(16)}`;
  return `${number}${match}${match === '' ? '' : ', '}priority ${rule.priority}${cookie}`;
}
