import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Classifier, PREFIX_FIELDS } from './classifier.ts';
import { F, REG_FIELDS } from './fields.ts';
import { type Flow, newFlow, W_CONJ_ID } from './layout.ts';
import { Match } from './match.ts';
import { parseMatch } from './match-parse.ts';
import { MiniMask } from './minimatch.ts';
import { type Conjunction, Rule } from './rule.ts';
import { Subtable } from './subtable.ts';
import { compileFinder, compileHashedFinder, finishHash } from './subtable-code.ts';

class TestRule extends Rule {
  readonly match: Match;

  constructor(match: Match, priority: number, conjunctions: readonly Conjunction[] | null = null) {
    super(priority, conjunctions);
    this.match = match;
  }
}

// --- A small world in which rules and packets meet often ----------------------------------------------

/** Fields of rules and packets, with the few values that they take and the masks that rules use. */
const WORLD = [
  { field: REG_FIELDS[0], values: [0, 1, 0x80000000], masks: [0xffffffff, 0x80000001] },
  { field: F.inPort, values: [1, 2, 0xfffe], masks: [0xffff] },
  { field: F.ethType, values: [0x800, 0x86dd], masks: [0xffff] },
  { field: F.nwProto, values: [6, 17], masks: [0xff] },
  {
    field: F.ipSrc,
    values: [0x0a000001, 0x0a000002, 0x0a010001, 0xc0a80101],
    masks: [0xffffffff, 0xffffff00, 0xffff0000, 0xff000000, 0x80000000, 0x00ff00ff],
  },
  {
    field: F.ipDst,
    values: [0x0a000001, 0x0a0000ff, 0xffffffff],
    masks: [0xffffffff, 0xfffffffe, 0xffff0000],
  },
  { field: F.tcpSrc, values: [0, 80, 443], masks: [0xffff, 0xfff0] },
  { field: F.tcpDst, values: [0, 80, 0x8050], masks: [0xffff, 0xff00, 0x00ff] },
  { field: F.tcpFlags, values: [0, 2, 0x12], masks: [0xfff, 0x2] },
] as const;

const matchOf = (wild: number): fc.Arbitrary<Match> =>
  fc
    .tuple(
      ...WORLD.map(({ field, values, masks }) =>
        fc.oneof(
          { weight: wild, arbitrary: fc.constant(null) },
          {
            weight: 1,
            arbitrary: fc.record({
              field: fc.constant(field),
              value: fc.constantFrom(...values),
              mask: fc.constantFrom(...masks),
            }),
          },
        ),
      ),
    )
    .map((parts) => {
      const match = new Match();
      for (const part of parts) {
        if (part !== null) match.setNumber(part.field, (part.value & part.mask) >>> 0, part.mask);
      }
      return match;
    });

const anyMatch = matchOf(2);
/** Matches that many packets are in. */
const looseMatch = matchOf(12);

const anyPacket: fc.Arbitrary<Flow> = fc
  .tuple(
    ...WORLD.map(({ field, values }) =>
      fc.record({ field: fc.constant(field), value: fc.constantFrom(...values) }),
    ),
  )
  .map((parts) => {
    const match = new Match();
    for (const { field, value } of parts) match.setNumber(field, value);
    return match.flow;
  });

const noise = fc.array(fc.integer({ min: 0, max: 0xffffffff }), { minLength: 8, maxLength: 8 });

/** `flow`, but with other bits wherever `wc` has none. */
function scramble(flow: Flow, wc: Flow, random: readonly number[], other: Flow): Flow {
  const result = newFlow();
  for (let i = 0; i < flow.length; i++) {
    const bits = random[i % random.length] & 1 ? other[i] : Math.imul(random[i % random.length], i * 2 + 1);
    result[i] = (flow[i] & wc[i]) | (bits & ~wc[i]);
  }
  result[W_CONJ_ID] = 0;
  return result;
}

// --- What the classifier must equal ---------------------------------------------------------------------

/** The definition, rule by rule. Conjunctions: highest priority first, as ovs-actions(7) has it. */
function naiveLookup(
  rules: readonly TestRule[],
  version: number,
  flow: Flow,
  conjunctive = true,
): TestRule[] {
  const matching = rules.filter(
    (r) => r.isVisibleIn(version) && r.match.matches(flow) && (conjunctive || r.conjunctions === null),
  );
  const priorities = [...new Set(matching.map((r) => r.priority))].sort((a, b) => b - a);
  for (const priority of priorities) {
    const soft = matching.filter((r) => r.priority === priority && r.conjunctions !== null);
    const found = new Set<TestRule>();
    for (const { id, nClauses } of soft.flatMap((r) => r.conjunctions ?? [])) {
      const clauses = new Set(
        soft
          .flatMap((r) => r.conjunctions ?? [])
          .filter((c) => c.id === id && c.nClauses === nClauses)
          .map((c) => c.clause),
      );
      if (clauses.size < nClauses) continue;
      const again = flow.slice();
      again[W_CONJ_ID] = id;
      for (const r of naiveLookup(rules, version, again, false)) found.add(r);
    }
    const hard = matching.filter((r) => r.priority === priority && r.conjunctions === null);
    // An ordinary match and a conjunction of one priority: which of them wins is not defined.
    if (hard.length > 0 || found.size > 0) return [...found, ...hard];
  }
  return [];
}

/** Checks one lookup, with and without a record, and that the record holds. */
function checkLookup(
  classifier: Classifier<TestRule>,
  rules: readonly TestRule[],
  version: number,
  packet: Flow,
  random: readonly number[],
  other: Flow,
): void {
  const before = packet.slice();
  const wc = newFlow();
  const found = classifier.lookup(version, packet, wc);
  assert.deepEqual(packet, before, 'the packet is unchanged');
  const allowed = naiveLookup(rules, version, packet);
  if (found === null) assert.equal(allowed.length, 0);
  else
    assert.ok(
      allowed.includes(found),
      `found ${found.priority}, not among ${allowed.map((r) => r.priority)}`,
    );
  const plain = classifier.lookup(version, packet);
  assert.equal(plain, found, 'a lookup without a record finds the same');
  const twin = scramble(packet, wc, random, other);
  assert.equal(
    classifier.lookup(version, twin),
    found,
    'a packet that agrees on the recorded bits gets the same rule',
  );
  const allowedForTwin = naiveLookup(rules, version, twin);
  if (found === null) assert.equal(allowedForTwin.length, 0);
  else assert.ok(allowedForTwin.includes(found), 'and so it is by the definition');
}

/** Rules of distinct priorities, so that there is one right answer. */
const distinctRules = fc
  .array(anyMatch, { maxLength: 40 })
  .map((matches) => matches.map((m, i) => new TestRule(m, (i * 7919) % 64 < 40 ? i + 1 : 100 + i)));

test('it finds what the definition says, and records what decided it', () => {
  fc.assert(
    fc.property(
      distinctRules,
      fc.subarray([...PREFIX_FIELDS]),
      fc.array(fc.tuple(anyPacket, anyPacket, noise), { minLength: 1, maxLength: 15 }),
      (rules, prefixFields, packets) => {
        const classifier = new Classifier<TestRule>(prefixFields);
        for (const rule of rules) classifier.insert(rule, rule.match);
        assert.equal(classifier.size, rules.length);
        for (const [packet, other, random] of packets)
          checkLookup(classifier, rules, 0, packet, random, other);
      },
    ),
    { numRuns: 400 },
  );
});

type Step =
  | { readonly op: 'insert'; readonly match: Match; readonly priority: number; readonly delay: number }
  | { readonly op: 'remove' | 'remove-later' | 'restore'; readonly pick: number; readonly delay: number }
  | { readonly op: 'advance' }
  | { readonly op: 'prefixes'; readonly fields: (typeof PREFIX_FIELDS)[number][] }
  | {
      readonly op: 'lookup';
      readonly packet: Flow;
      readonly other: Flow;
      readonly random: number[];
      readonly delay: number;
    };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('insert' as const),
      match: anyMatch,
      priority: fc.nat(9),
      delay: fc.nat(2),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constantFrom('remove' as const, 'remove-later' as const, 'restore' as const),
      pick: fc.nat(1000),
      delay: fc.nat(2),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ op: 'advance' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('prefixes' as const), fields: fc.subarray([...PREFIX_FIELDS]) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('lookup' as const),
      packet: anyPacket,
      other: anyPacket,
      random: noise,
      delay: fc.nat(2),
    }),
  },
);

test('it stays right through insertions, removals, versions and changes of prefix fields', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 120 }), (steps) => {
      const classifier = new Classifier<TestRule>();
      let rules: TestRule[] = [];
      let version = 1;
      /** Lookups that more than one rule may answer tell nothing. */
      const unambiguous = (packet: Flow, v: number) => naiveLookup(rules, v, packet).length <= 1;
      for (const step of steps) {
        if (step.op === 'insert') {
          const rule = new TestRule(step.match, step.priority);
          const clash = rules.some((r) => r.priority === rule.priority && r.match.overlaps(rule.match));
          if (clash) continue;
          classifier.insert(rule, rule.match, version + step.delay);
          rules.push(rule);
        } else if (step.op === 'advance') version++;
        else if (step.op === 'prefixes') classifier.setPrefixFields(step.fields);
        else if (step.op === 'lookup') {
          const v = version + step.delay;
          if (unambiguous(step.packet, v))
            checkLookup(classifier, rules, v, step.packet, step.random, step.other);
        } else if (rules.length > 0) {
          const rule = rules[step.pick % rules.length];
          if (step.op === 'remove') {
            classifier.remove(rule);
            rules = rules.filter((r) => r !== rule);
            assert.ok(rule.expandMatch().equals(rule.match), 'its match outlives its removal');
          } else if (step.op === 'remove-later') classifier.removeInVersion(rule, version + 1 + step.delay);
          else classifier.restore(rule);
        }
      }
      assert.deepEqual(new Set(classifier), new Set(rules));
      for (const rule of rules) {
        assert.ok(rule.expandMatch().equals(rule.match));
        const there = rule.isVisibleIn(version);
        if (there) assert.equal(classifier.find(rule.match, rule.priority, version), rule);
      }
      for (const rule of rules) classifier.remove(rule);
      assert.equal(classifier.size, 0);
      assert.equal(classifier.subtables, 0);
    }),
    { numRuns: 300 },
  );
});

test('conjunctive matches', () => {
  const conjunction = fc
    .record({ id: fc.constantFrom(1, 2, 3), clause: fc.nat(2), nClauses: fc.constantFrom(2, 3) })
    .map((c) => ({ ...c, clause: c.clause % c.nClauses }));
  const rule = fc.tuple(
    looseMatch,
    fc.nat(3),
    fc.oneof(
      fc.constant(null),
      fc.uniqueArray(conjunction, { minLength: 1, maxLength: 2, selector: (c) => c.id }),
      fc.constantFrom('conj_id'),
    ),
    fc.constantFrom(1, 2, 3),
  );
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 5, maxLength: 25 }),
      fc.array(fc.tuple(anyPacket, anyPacket, noise), { minLength: 1, maxLength: 8 }),
      (specs, packets) => {
        const classifier = new Classifier<TestRule>();
        const rules: TestRule[] = [];
        for (const [match, priority, kind, id] of specs) {
          const full = kind === 'conj_id' ? match.clone().setNumber(F.conjId, id) : match;
          const one = new TestRule(full, priority, Array.isArray(kind) ? kind : null);
          if (classifier.find(full, priority, 0) !== null) continue;
          classifier.insert(one, full);
          rules.push(one);
        }
        for (const [packet, other, random] of packets) {
          if (naiveLookup(rules, 0, packet).length <= 1)
            checkLookup(classifier, rules, 0, packet, random, other);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('generated code finds the rows that the general loop finds', () => {
  fc.assert(
    fc.property(anyMatch, fc.array(anyPacket, { minLength: 1, maxLength: 30 }), (shape, packets) => {
      const subtable = new Subtable<TestRule>(MiniMask.of(shape.mask));
      const finder = compileFinder(subtable.mask);
      const hashedFinder = compileHashedFinder(subtable.mask);
      for (const packet of packets.slice(0, packets.length / 2))
        subtable.insert(new TestRule(shape, 1), packet);
      for (const packet of packets) {
        const { values, slots, hashes } = subtable;
        const hash = finishHash(subtable.hashStage(packet, 0, 0, subtable.mask.length));
        assert.equal(finder(packet, values, slots, hashes), subtable.findHashed(packet, hash));
        assert.equal(hashedFinder(packet, values, slots, hashes, hash), subtable.findHashed(packet, hash));
      }
    }),
  );
});

test('thousands of rows come and go', () => {
  const classifier = new Classifier<TestRule>();
  const rules: TestRule[] = [];
  const match = (n: number) =>
    parseMatch('tcp')
      .setNumber(F.ipDst, n)
      .setNumber(F.tcpDst, n & 0xff, 0xff);
  let x = 1;
  const next = () => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return x >>> 8;
  };
  const seen = new Set<number>();
  for (let i = 0; i < 6000; i++) {
    const n = next() & 0xffff;
    if (next() % 3 === 0 && rules.length > 0) {
      const at = next() % rules.length;
      classifier.remove(rules[at]);
      seen.delete(rules[at].priority);
      rules[at] = rules[rules.length - 1];
      rules.pop();
    } else if (!seen.has(n)) {
      const rule = new TestRule(match(n), n);
      classifier.insert(rule, rule.match);
      rules.push(rule);
      seen.add(n);
    }
  }
  for (const rule of rules) assert.equal(classifier.lookup(0, rule.match.flow), rule);
  for (let n = 0; n < 0x10000; n += 97)
    assert.equal(classifier.lookup(0, match(n).flow) !== null, seen.has(n));
  while (rules.length > 5) classifier.remove(rules.pop()!);
  for (const rule of rules) assert.equal(classifier.lookup(0, rule.match.flow, newFlow()), rule);
  assert.equal(classifier.size, 5);
});

test('code is generated for a subtable that is looked up often, and answers', () => {
  const classifier = new Classifier<TestRule>();
  const match = parseMatch('tcp,nw_src=10.0.0.1');
  const rule = new TestRule(match, 1);
  classifier.insert(rule, match);
  const wc = newFlow();
  for (let i = 0; i < 2000; i++) {
    assert.equal(classifier.lookup(0, match.flow), rule);
    wc.fill(0);
    assert.equal(classifier.lookup(0, match.flow, wc), rule);
    assert.deepEqual(wc, match.mask);
  }
  assert.equal(classifier.lookup(0, newFlow()), null);
});

/** The text of what a lookup records. */
function recorded(
  rules: readonly string[],
  packet: string,
  prefixFields?: readonly (typeof PREFIX_FIELDS)[number][],
): Match {
  const classifier = new Classifier<TestRule>(prefixFields);
  for (const [i, text] of rules.entries()) {
    const match = parseMatch(text);
    classifier.insert(new TestRule(match, rules.length - i), match);
  }
  const wc = newFlow();
  const { flow } = parseMatch(packet);
  classifier.lookup(0, flow, wc);
  return Match.of(flow, wc);
}

test('a stage that no rule agrees with hides the later ones', () => {
  const match = recorded(['in_port=1,tcp,tp_dst=80', 'ip'], 'in_port=2,tcp,tp_dst=80');
  assert.ok(match.get(F.inPort).mask !== 0n);
  assert.equal(match.get(F.tcpDst).mask, 0n);
  assert.equal(match.get(F.nwProto).mask, 0n);
});

test('a prefix trie tells by how few bits an address is nobody’s', () => {
  const rules = ['ip,nw_src=10.0.0.0/8', 'ip,nw_src=192.168.1.1', 'ip'];
  assert.equal(recorded(rules, 'ip,nw_src=64.0.0.1').get(F.ipSrc).mask, 0xc0000000n);
  assert.equal(recorded(rules, 'ip,nw_src=64.0.0.1', []).get(F.ipSrc).mask, 0xffffffffn);
  assert.equal(recorded(rules, 'ip,nw_src=10.1.1.1').get(F.ipSrc).mask, 0xff000000n);
  const v6 = ['ipv6,ipv6_dst=2001:db8::/32', 'ipv6,ipv6_dst=2001:db8::1', 'ipv6'];
  const mask = recorded(v6, 'ipv6,ipv6_dst=fe80::1', [F.ipv6Dst]).get(F.ipv6Dst).mask;
  assert.equal(mask, 1n << 127n);
});

test('the ports trie tells by how few bits a port is nobody’s', () => {
  const match = recorded(['tcp,tp_dst=80', 'tcp'], 'tcp,tp_dst=32848');
  assert.equal(match.get(F.tcpDst).mask, 0x8000n);
});

test('the search stops at the first subtable that can hold nothing better', () => {
  const match = recorded(['in_port=1', 'tcp,tp_dst=80'], 'in_port=1,tcp,tp_dst=80');
  assert.equal(match.get(F.tcpDst).mask, 0n);
});

test('a bundle of changes shows at once', () => {
  const classifier = new Classifier<TestRule>();
  const [one, two] = [parseMatch('in_port=1'), parseMatch('in_port=2')];
  const old = new TestRule(one, 5);
  classifier.insert(old, one, 1);
  const replacement = new TestRule(one, 5);
  const added = new TestRule(two, 5);
  classifier.removeInVersion(old, 2);
  classifier.insert(replacement, one, 2);
  classifier.insert(added, two, 2);
  assert.equal(classifier.lookup(1, one.flow), old);
  assert.equal(classifier.lookup(1, two.flow), null);
  assert.equal(classifier.lookup(2, one.flow), replacement);
  assert.equal(classifier.lookup(2, two.flow), added);
  assert.equal(classifier.find(one, 5, 1), old);
  assert.ok(old.isVisibleIn(1) && !old.isVisibleIn(2) && !added.isVisibleIn(1) && added.isVisibleIn(2));
  assert.equal(classifier.find(one, 5, 2), replacement);
});

test('loose selection gives the rules within a match, overlap those that share a packet', () => {
  const classifier = new Classifier<TestRule>();
  const texts = ['tcp,nw_src=10.0.0.1', 'tcp,nw_src=10.0.0.2', 'tcp', 'udp,nw_src=10.0.0.1', ''];
  const rules = texts.map((text) => {
    const match = parseMatch(text);
    const rule = new TestRule(match, 7);
    classifier.insert(rule, match);
    return rule;
  });
  const select = (text: string) => new Set(classifier.rules(parseMatch(text), 0));
  assert.deepEqual(select('tcp'), new Set(rules.slice(0, 3)));
  assert.deepEqual(select('ip,nw_src=10.0.0.1'), new Set([rules[0], rules[3]]));
  assert.deepEqual(select(''), new Set(rules));
  assert.equal(classifier.overlapping(parseMatch('udp,nw_src=10.0.0.2'), 6, 0), null);
  assert.equal(classifier.overlapping(parseMatch('udp,nw_src=10.0.0.2'), 7, 0), rules[4]);
  classifier.remove(rules[4]);
  assert.equal(classifier.overlapping(parseMatch('udp,nw_src=10.0.0.2'), 7, 0), null);
  assert.equal(
    classifier.overlapping(parseMatch('ip,nw_dst=1.1.1.1,nw_src=10.0.0.1,nw_proto=17'), 7, 0),
    rules[3],
  );
});

test('misuse is refused', () => {
  const classifier = new Classifier<TestRule>();
  const match = parseMatch('ip');
  const rule = new TestRule(match, 1);
  assert.throws(() => classifier.remove(rule), TypeError);
  assert.throws(() => rule.miniMatch, TypeError);
  classifier.insert(rule, match);
  assert.throws(() => classifier.insert(rule, match), TypeError);
  assert.throws(() => new Classifier([F.tcpDst]), RangeError);
});
