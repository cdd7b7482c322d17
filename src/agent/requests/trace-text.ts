/** Reads what `ofproto/trace` says: which flows a packet met, and where it went. Text of Open vSwitch and of ours alike. */

/** A flow that the packet met, or a table that had none for it. */
export interface TextStep {
  readonly table: number;
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
  /** undefined: the text has none, so it is 0. */
  readonly cookie: bigint | undefined;
  /** Ports that it sent the packet out of, with the tunnel key that was set then. */
  readonly outputs: readonly { readonly ofport: number; readonly tunnelKey: number }[];
}

const FLOW = /^\s*(\d+)\. (?:(.*), )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?$/;
const NO_FLOW = /^\s*(\d+)\. No match\.?/;
const END = /^(?:Final flow|Megaflow|Datapath actions|Flow|bridge\(|=+$|-+$)/;
const OUTPUT = /^output:(\d+)$/;
const TUNNEL_KEY = /^set_field:(0x[0-9a-f]+|\d+)->tun_id$/;
/** More of a trace than any pipeline has is not kept. */
const MAX_STEPS = 10_000;

export function readTrace(text: string): TextStep[] {
  const steps: TextStep[] = [];
  let actions: string[] = [];
  let outputs: { ofport: number; tunnelKey: number }[] = [];
  let head: Omit<TextStep, 'actions' | 'outputs'> | undefined;
  let tunnelKey = 0;
  const finish = (): void => {
    if (head !== undefined) steps.push({ ...head, actions: actions.join(','), outputs });
    head = undefined;
    actions = [];
    outputs = [];
  };
  for (const line of text.split('\n')) {
    if (steps.length >= MAX_STEPS) break;
    const flow = FLOW.exec(line);
    const none = flow === null ? NO_FLOW.exec(line) : null;
    if (flow !== null) {
      finish();
      const [, table, match = '', priority, cookie] = flow;
      head = {
        table: Number(table),
        priority: Number(priority),
        match,
        cookie: cookie === undefined ? undefined : BigInt(cookie),
      };
    } else if (none !== null) {
      finish();
      head = { table: Number(none[1]), priority: 0, match: '', cookie: undefined };
      actions = ['drop'];
    } else if (END.test(line)) finish();
    else if (head !== undefined) {
      const action = line.trim();
      // Lines with arrows explain what the line before did.
      if (action === '' || action.startsWith('->')) continue;
      if (action.startsWith('>>')) {
        // "skipping output to input port" and the like: it did not leave.
        if (/skipping|blocked|not /.test(action)) outputs.pop();
        continue;
      }
      const key = TUNNEL_KEY.exec(action);
      if (key !== null) tunnelKey = Number(key[1]);
      const output = OUTPUT.exec(action);
      if (output !== null) outputs.push({ ofport: Number(output[1]), tunnelKey });
      actions.push(action);
    }
  }
  finish();
  return steps;
}
