/**
 * What the kernel's verifier says of a program, reduced to what went wrong and where. Its log (level 1) tells
 * the path that it followed: a line an instruction, `12: (61) r1 = *(u32 *)(r7 +30)`, often followed by the registers
 * after it, `; R1_w=scalar()`, and between them remarks on branches, functions and precision. The complaint stands
 * at the end, before the sums, in words that have no fixed form; some name an instruction themselves. The words
 * vary between kernels, so what is not known to be noise is taken for the complaint.
 */

/** A verifier's log in short. */
export interface VerifierSummary {
  /** The complaint, in the kernel's words, its lines joined by "; ". Empty: the log has none. */
  readonly reason: string;
  /** The instruction that was refused, by slot; undefined where the complaint is about none. */
  readonly slot: number | undefined;
  /** The slots that led there, oldest first, at most `TRAIL` of them. */
  readonly trail: readonly number[];
  /** The registers as last told before the complaint: `R1=ctx() R10=fp0`; empty: not told. */
  readonly registers: string;
  /** How many instructions it looked at, paths counted; undefined: not told. */
  readonly processed: number | undefined;
  /** What to do about it, where the complaint is a known one; otherwise empty. */
  readonly advice: string;
}

/** How many instructions of the path are kept. */
const TRAIL = 8;
/** Longer complaints are cut. */
const MAX_REASON = 500;

const INSTRUCTION = /^(\d+): \([0-9a-f]{2}\) (.*)$/;
const STATE = /^(?:from )?\d+(?: to \d+)?(?: \(speculative execution\))?:\s*((?:frame\d+: )?R\d+\S*=.*)?$/;
const REGISTERS_ONLY = /^(?:frame\d+: ?)?R\d+(?:_[rwD]+)?=/;
/** The registers behind an instruction: after it, or where another path goes on. */
const AFTER = /(?:; |\s\d+: )((?:frame\d+: ?)?R\d+(?:_[rwD]+)?=.*)$/;
const SUMS = /^processed (\d+) insns?\b/;
const NOISE =
  /^(?:;|func#\d+ @|Func#\d+ |Validating |Live regs before insn|\s*\d+: [.0-9]{10} |caller:|callee:|to caller at|returning from callee|from \d+ to \d+|verification time|stack depth|max_states|peak_states|mark_precise:|last_idx|regs=|parent |propagating|falling back|-- BEGIN|cur state:|old state:|-- END|reg type unsupported|arg#\d+ (?!.*(?:must|expected|invalid))|insns_since|\s*$)/;
/** Complaints that name the instruction; the last one that the log shows may be another. */
const NAMES_SLOT =
  /(?:unreachable insn|jump out of range from insn|back-edge from insn|infinite loop detected at insn|middle of ldimm64 insn|insn) (\d+)\b/;

const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /offset is outside of the packet|invalid access to packet/,
    'compare the end of what is read with data_end first; after a helper that changes the packet load the pointers again and compare again',
  ],
  [/_or_null'|possibly NULL|map_value_or_null/, 'compare the pointer with 0 before it is used'],
  [
    /!read_ok/,
    'give the register a value on every path that leads here; calls leave nothing in R1 to R5, and R0 only if they return something',
  ],
  [
    /invalid mem access '(?:scalar|inv)'/,
    'the register holds a number here: a helper that changes the packet takes packet pointers away, and some arithmetic does',
  ],
  [
    /invalid (?:indirect )?read from stack|invalid stack|uninitialized|invalid read from stack/,
    'write all bytes of the stack that are read or passed to a helper first',
  ],
  [/unreachable insn/, 'take the code out, or let a jump lead to it'],
  [/jump out of range|last insn is not an exit/, 'end every function with exit() or a jump'],
  [/infinite loop|back-edge/, 'let every turn change a counter that the loop compares with a constant'],
  [/too large|too complex/, 'simplify, or split the program by tail calls or functions of its own'],
  [
    /unbounded|min value is negative|make sure to bounds-check/,
    'limit the number with and() or a comparison first',
  ],
  [
    /value is outside of the allowed memory range|invalid access to map value/,
    'stay within the value of the map',
  ],
  [/misaligned/, 'read with a smaller size, or align the offset'],
  [/Unreleased reference/, 'submit, discard or release what was reserved on every path to exit()'],
  [/GPL/, 'load the program under the licence "GPL"'],
  [/calling kernel function .* is not allowed/, 'programs of this type may not call that function'],
  [
    /unknown func|invalid func unknown|unknown opcode|kernel function btf_id .* is not/,
    'this kernel is too old for it, or programs of this type may not use it',
  ],
  [/At program exit the register R0|R0 !read_ok/, 'return one of the verdicts of this type of program'],
];

/** Reads a log. Never fails: what it cannot read it leaves out. */
export function summarizeLog(log: string): VerifierSummary {
  const trail: number[] = [];
  let complaint: string[] = [];
  let registers = '';
  let processed: number | undefined;
  for (const raw of log.split('\n')) {
    const line = raw.trimEnd();
    const instruction = INSTRUCTION.exec(line);
    if (instruction !== null) {
      trail.push(Number(instruction[1]));
      if (trail.length > TRAIL) trail.shift();
      const after = AFTER.exec(instruction[2]!)?.[1];
      if (after !== undefined) registers = after;
      // What was said before a further step was no complaint.
      complaint = [];
      continue;
    }
    const sums = SUMS.exec(line);
    if (sums !== null) {
      processed = Number(sums[1]);
      continue;
    }
    const state = STATE.exec(line);
    if (state !== null) {
      if (state[1] !== undefined) registers = state[1];
      continue;
    }
    if (NOISE.test(line)) continue;
    if (REGISTERS_ONLY.test(line.trimStart())) {
      registers = line.trim();
      continue;
    }
    complaint.push(line.trim());
  }
  const text = complaint.join('; ');
  const reason = text.length > MAX_REASON ? `${text.slice(0, MAX_REASON)}...` : text;
  const named = NAMES_SLOT.exec(reason)?.[1];
  return {
    reason,
    slot: named === undefined ? trail.at(-1) : Number(named),
    trail,
    registers,
    processed,
    advice: ADVICE.find(([pattern]) => pattern.test(reason))?.[1] ?? '',
  };
}
