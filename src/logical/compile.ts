/**
 * From a universal flow to OpenFlow, in text as ovs-ofctl(8) reads it. This is where isolation is made: the match on the
 * datapath is added here and cannot be left out, and what a flow may say is a short list of words. All
 * else is refused: outputs, resubmits, ports of the host, tunnels, metadata, the registers with a meaning.
 *
 *     match   = "" | item *("," item)
 *     item    = "inport=" LABEL | "outport=" LABEL | "loopback=" ("0" | "1")
 *             | PROTOCOL                 ip ipv6 arp rarp icmp icmp6 tcp udp sctp tcp6 udp6 sctp6
 *             | FIELD "=" VALUE          packet fields, conntrack's, reg0 to reg9, xxreg0, xxreg1; masks as `VALUE/MASK`
 *
 *     actions = "drop" | action *("," action)
 *     action  = "outport(" LABEL ")"     the packet is to leave by that port; by the switch's label: by all its ports
 *             | "outport(inport)"        back to where it came from
 *             | "outport(datapath)"      to all ports of the switch
 *             | "inport(outport)"        an answer to what was to leave by outport, as if it came in there
 *             | "loopback"               may leave by the port that it came in by
 *             | "set_field:" VALUE ["/" MASK] "->" FIELD
 *             | "move:" FIELD "->" FIELD both whole; a packet field or a scratch register to another
 *             | "dec_ttl"
 *             | "ct_commit"              the connection is allowed: ct_mark 0
 *             | "ct_commit(blocked)"     it is no longer: ct_mark 1
 *                                        with `next` behind it, the packet goes on by a recirculation: switches keep with a packet
 *                                        the connection that it was committed to, and only of one that comes from
 *                                        conntrack does `ct_clear` take that away, which an answer of a router must lose
 *                                        before it meets the same zone again
 *     and, as the last, where the packet goes on:
 *             | "next"                   the next stage of this pipeline
 *             | "next(" STAGE ")"        a later stage of this pipeline
 *             | "ct_next"                the next stage, with what conntrack knows of the packet in the zone of its port
 *             | "enter(" DATAPATH "," INPORT ")"   from a switch into a router or back, coming in by that port
 *             | "output"                 out of a switch's ingress pipeline, towards outport
 *             | "deliver"                out of the egress pipeline, to the device
 *             | "answer(" KIND ["," STAGE | ",output"] ")"
 *
 * Without one of these the packet ends there. `answer` hands the packet to the agent, which puts the answer (see ANSWERS) in its
 * place and resumes it (NXT_RESUME) with all registers as they were: at STAGE, which may be any stage of a pipeline of
 * the same kind of datapath, or as `output` would. `enter` forgets what was in the scratch registers, out port, zone, flags and
 * conntrack state. Where a packet may go back to where it came from (enter, loopback, inport), in_port is forgotten too,
 * since OpenFlow never sends a packet out of its in_port.
 */
import { WeftError } from '../base/errors.ts';
import {
  ANSWER_USERDATA,
  ANSWERS,
  type AnswerKind,
  MATCH_FIELDS,
  MATCH_PROTOCOLS,
  WRITABLE_FIELDS,
} from './flow-words.ts';
import {
  MAX_LABEL,
  ROUTER_INGRESS,
  type Stage,
  SWITCH_EGRESS,
  SWITCH_INGRESS,
  stageTable,
  TABLES,
} from './layout.ts';
import type { UniversalFlow } from './universal.ts';

/** A flow for the switch: `match` and `actions` in the syntax of ovs-ofctl. */
export interface CompiledFlow {
  readonly table: number;
  readonly priority: number;
  /** Empty: every packet. */
  readonly match: string;
  readonly actions: string;
}

/** What a flow says, wherever it stands. */
export type StageFlow = Omit<UniversalFlow, 'datapath' | 'origin'>;

const PIPELINES: readonly (readonly Stage[])[] = [SWITCH_INGRESS, ROUTER_INGRESS, SWITCH_EGRESS];
const VALUE = /^[0-9A-Za-z.:/+|-]+$/;
const NUMBER = /^[1-9][0-9]{0,7}$/;
const FORGET_IN_PORT = 'load:0xffff->NXM_OF_IN_PORT[]';
/** The zone is in reg13. */
const ZONE = 'zone=NXM_NX_REG13[0..15]';

/** The mark of a connection, by the action that sets it. */
const COMMITS: ReadonlyMap<string, string> = new Map([
  ['ct_commit', '0'],
  ['ct_commit(blocked)', '0x1'],
]);
/** @param more "table=N": the packet goes on there, with what conntrack knows of it */
function commit(mark: string, ...more: readonly string[]): string {
  return `ct(${['commit', ZONE, ...more].join(',')},exec(set_field:${mark}->ct_mark))`;
}

/** The next zone is another port's. */
const OUTPUT = `ct_clear,resubmit(,${TABLES.output})`;

/** Everything that one pass of a pipeline leaves behind, and a packet must not take into the next datapath. */
const FORGET = [
  'ct_clear',
  'set_field:0->xxreg0',
  'set_field:0->xxreg1',
  'set_field:0->xxreg2',
  'set_field:0->reg13',
  'set_field:0->reg15',
  FORGET_IN_PORT,
].join(',');

/** The words of a list, split at commas outside of parentheses. */
function split(text: string): string[] {
  if (text === '') return [];
  if (!text.includes('(')) return text.split(',');
  const words: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === '(') depth++;
    else if (c === ')') depth--;
    else if (c === undefined || (c === ',' && depth === 0)) {
      words.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return words;
}

class Compiler {
  readonly #flow: StageFlow;

  constructor(flow: StageFlow) {
    this.#flow = flow;
  }

  refuse(word: string, why: string): never {
    const { stage, priority, match, actions } = this.#flow;
    throw new WeftError(
      'universal-flow',
      `${stage}, priority ${priority}, ${match} -> ${actions}: "${word}" ${why}`,
      {
        remedy: 'src/logical/compile.ts says what universal flows may do',
      },
    );
  }

  label(word: string, text: string): number {
    const label = NUMBER.test(text) ? Number(text) : 0;
    if (label < 1 || label > MAX_LABEL) this.refuse(word, 'needs a label from 1 to 2^24-1');
    return label;
  }

  match(items: string[]): string {
    const { match } = this.#flow;
    const seen = new Set<string>();
    for (const item of match === '' ? [] : match.split(',')) {
      const equals = item.indexOf('=');
      const key = equals < 0 ? item : item.slice(0, equals);
      const value = equals < 0 ? '' : item.slice(equals + 1);
      if (seen.has(key)) this.refuse(item, 'stands twice in the match');
      seen.add(key);
      if (equals < 0) {
        if (!MATCH_PROTOCOLS.has(key)) this.refuse(item, 'is no protocol that a match may name');
        items.push(item);
      } else if (key === 'inport') {
        items.push(`reg14=${this.label(item, value)}`);
      } else if (key === 'outport') {
        items.push(`reg15=${this.label(item, value)}`);
      } else if (key === 'loopback') {
        if (value !== '0' && value !== '1') this.refuse(item, 'is 0 or 1');
        items.push(`reg10=0x${value}/0x1`);
      } else if (!MATCH_FIELDS.has(key)) {
        this.refuse(item, 'is no field that a match may name');
      } else if (!VALUE.test(value)) {
        this.refuse(item, 'has no value of a field');
      } else {
        items.push(item);
      }
    }
    return items.join(',');
  }

  actions(): string {
    const { actions } = this.#flow;
    if (actions === 'drop') return 'drop';
    const words = split(actions);
    if (words.length === 0) this.refuse(actions, 'is no action; "drop" is');
    const out: string[] = [];
    words.forEach((word, i) => {
      const table = this.#nextTable(word);
      const end = table === undefined ? this.#end(word) : `resubmit(,${table})`;
      if (end === undefined) out.push(this.#step(word));
      else if (i < words.length - 1) this.refuse(word, 'must be the last action');
      else {
        const mark = table === undefined ? undefined : COMMITS.get(words[i - 1] ?? '');
        if (mark === undefined) out.push(end);
        else out[i - 1] = commit(mark, `table=${table}`);
      }
    });
    return out.join(',');
  }

  /** The table that `next` or `next(STAGE)` leads to; undefined for any other word. */
  #nextTable(word: string): number | undefined {
    if (word === 'next') return this.#following(word);
    const stage = /^next\((.*)\)$/.exec(word)?.[1];
    if (stage === undefined) return undefined;
    const pipeline = this.#pipeline();
    if (pipeline.indexOf(stage as Stage) <= pipeline.indexOf(this.#flow.stage))
      this.refuse(word, 'names no later stage of this pipeline');
    return stageTable(stage as Stage);
  }

  /** An action after which others may come. */
  #step(word: string): string {
    switch (word) {
      case 'outport(inport)':
        return 'move:NXM_NX_REG14[]->NXM_NX_REG15[]';
      case 'outport(datapath)':
        return 'move:OXM_OF_METADATA[0..31]->NXM_NX_REG15[]';
      case 'inport(outport)':
        return `move:NXM_NX_REG15[]->NXM_NX_REG14[],${FORGET_IN_PORT}`;
      case 'loopback':
        return `set_field:0x1/0x1->reg10,${FORGET_IN_PORT}`;
      case 'dec_ttl':
        return word;
    }
    const mark = COMMITS.get(word);
    if (mark !== undefined) return commit(mark);
    const outport = /^outport\((.*)\)$/.exec(word);
    if (outport?.[1] !== undefined) return `set_field:${this.label(word, outport[1])}->reg15`;
    const assignment = /^(set_field|move):([^>]+)->([a-z0-9_]+)$/.exec(word);
    const [, verb, source, target] = assignment ?? [];
    if (verb === undefined || source === undefined || target === undefined)
      this.refuse(word, 'is no action of universal flows');
    if (!WRITABLE_FIELDS.has(target)) this.refuse(word, `writes ${target}, which no universal flow may`);
    if (verb === 'set_field') {
      if (!VALUE.test(source)) this.refuse(word, 'has no value of a field');
      return word;
    }
    if (!WRITABLE_FIELDS.has(source)) this.refuse(word, `reads ${source}, which no universal flow may`);
    return `move:${source}[]->${target}[]`;
  }

  /** An action that says where the packet goes on, other than the next stage; undefined if the word is none. */
  #end(word: string): string | undefined {
    const { stage } = this.#flow;
    switch (word) {
      case 'ct_next':
        if (!stage.endsWith('conntrack')) this.refuse(word, 'stands in stages for conntrack only');
        return `ct(table=${this.#following(word)},${ZONE})`;
      case 'output':
        this.#need(word, SWITCH_INGRESS);
        return OUTPUT;
      case 'deliver':
        this.#need(word, SWITCH_EGRESS);
        return `resubmit(,${TABLES.deliver})`;
    }
    const [, verb, argument = ''] = /^(enter|answer)\((.*)\)$/.exec(word) ?? [];
    if (verb === 'enter') return this.#enter(word, argument.split(','));
    if (verb === 'answer') return this.#answer(word, argument.split(','));
    return undefined;
  }

  #enter(word: string, labels: readonly string[]): string {
    const [datapath = '', inport = ''] = labels;
    if (labels.length !== 2) this.refuse(word, 'needs a datapath and a port');
    const first = this.#pipeline() === ROUTER_INGRESS ? SWITCH_INGRESS[0] : ROUTER_INGRESS[0];
    if (this.#pipeline() === SWITCH_EGRESS) this.refuse(word, 'cannot stand in the egress pipeline');
    return [
      FORGET,
      `set_field:${this.label(word, inport)}->reg14`,
      `set_field:${this.label(word, datapath)}->metadata`,
      `resubmit(,${stageTable(first)})`,
    ].join(',');
  }

  #answer(word: string, [kind = '', to = '', ...rest]: readonly string[]): string {
    if (!Object.hasOwn(ANSWERS, kind) || rest.length > 0) this.refuse(word, 'names no kind of answer');
    const router = this.#pipeline() === ROUTER_INGRESS;
    const stages: readonly Stage[] = router ? ROUTER_INGRESS : SWITCH_INGRESS;
    let then: string;
    if (to === 'output' && !router) then = OUTPUT;
    else if (stages.includes(to as Stage)) then = `ct_clear,resubmit(,${stageTable(to as Stage)})`;
    else this.refuse(word, 'names no place to go on');
    const userdata = [...ANSWER_USERDATA, ANSWERS[kind as AnswerKind]].map((b) =>
      b.toString(16).padStart(2, '0'),
    );
    return `controller(userdata=${userdata.join('.')},pause),${then}`;
  }

  #pipeline(): readonly Stage[] {
    const pipeline = PIPELINES.find((stages) => stages.includes(this.#flow.stage));
    if (pipeline === undefined) this.refuse(this.#flow.stage, 'is no stage');
    return pipeline;
  }

  #need(word: string, pipeline: readonly Stage[]): void {
    if (this.#pipeline() !== pipeline) this.refuse(word, 'cannot stand in this pipeline');
  }

  #following(word: string): number {
    const pipeline = this.#pipeline();
    const stage = pipeline[pipeline.indexOf(this.#flow.stage) + 1];
    if (stage === undefined) this.refuse(word, 'stands in the last stage');
    return stageTable(stage);
  }
}

function checkPriority(flow: StageFlow, compiler: Compiler): void {
  const { priority } = flow;
  if (!Number.isInteger(priority) || priority < 0 || priority > 0xffff) {
    compiler.refuse(String(priority), 'is no priority from 0 to 65535');
  }
}

/**
 * The OpenFlow flow of a universal flow; it sees packets of the flow's datapath only.
 * @throws WeftError `universal-flow` for anything that universal flows may not do. Values of fields are not looked into: that
 * is done by whoever encodes the text.
 */
export function compileFlow(flow: UniversalFlow): CompiledFlow {
  const compiler = new Compiler(flow);
  checkPriority(flow, compiler);
  const metadata = `metadata=${compiler.label(`datapath ${flow.datapath}`, String(flow.datapath))}`;
  return {
    table: stageTable(flow.stage),
    priority: flow.priority,
    match: compiler.match([metadata]),
    actions: compiler.actions(),
  };
}

/** As {@link compileFlow}, for what holds in every datapath alike: see {@link import('./common-flows.ts').COMMON_FLOWS}. */
export function compileCommonFlow(flow: StageFlow): CompiledFlow {
  const compiler = new Compiler(flow);
  checkPriority(flow, compiler);
  if (flow.actions.includes('enter(')) compiler.refuse('enter', 'leads into one datapath');
  return {
    table: stageTable(flow.stage),
    priority: flow.priority,
    match: compiler.match([]),
    actions: compiler.actions(),
  };
}
