import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Classifier } from '../../flow/classifier.ts';
import { parseMatch } from '../../flow/match-parse.ts';
import { EvictionGroups } from './eviction.ts';
import { FlowTimeouts, hardDeadline, idleDeadline } from './flow-timeouts.ts';
import { Rule } from './rule.ts';

/* Heaps that find what ends or goes next, held against a look at all flows. */

const rule = (idleTimeout: number, hardTimeout: number, importance: number, now: number): Rule =>
  new Rule({
    table: 0,
    priority: 1,
    cookie: 0n,
    actions: [],
    flags: 0,
    importance,
    idleTimeout,
    hardTimeout,
    now,
  });

type Step =
  | {
      readonly do: 'add';
      readonly idle: number;
      readonly hard: number;
      readonly importance: number;
      readonly owner: number;
    }
  | { readonly do: 'hit' | 'refresh' | 'remove' | 'shorten'; readonly nth: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'take' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      idle: fc.constantFrom(0, 0, 1, 5, 10),
      hard: fc.constantFrom(0, 0, 2, 7, 30),
      importance: fc.constantFrom(0, 0, 1, 9),
      owner: fc.nat(3),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('hit', 'refresh', 'remove', 'shorten'),
      nth: fc.nat(20),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(400, 1000, 3100) }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'take' as const }) },
);

/** Flows of one table that come, go and are used; `taken` is given each chance to compare. */
class Life {
  now = 1000;
  readonly rules: { readonly rule: Rule; readonly owner: number }[] = [];
  readonly #classifier = new Classifier<Rule>();

  add({ idle, hard, importance, owner }: Step & { do: 'add' }): Rule {
    const made = rule(idle, hard, importance, this.now);
    this.#classifier.insert(
      made,
      parseMatch(`in_port=${owner + 1},dl_src=02:00:00:00:00:${10 + this.rules.length}`),
    );
    this.rules.push({ rule: made, owner });
    return made;
  }

  remove(gone: Rule): void {
    const at = this.rules.findIndex((each) => each.rule === gone);
    if (at >= 0) this.rules.splice(at, 1);
  }

  /** True: its timeouts became others. */
  touch({ do: what }: Step, touched: Rule): boolean {
    if (what === 'hit') touched.credit(1, 60, this.now);
    else if (what === 'refresh') touched.modified = this.now;
    else if (what === 'shorten') {
      touched.idleTimeout = 1;
      return true;
    }
    return false;
  }
}

test('flows end when their timeouts say so, by the right one, and no others do', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const life = new Life();
      const timeouts = new FlowTimeouts();
      for (const each of steps) {
        if (each.do === 'add') timeouts.add(life.add(each));
        else if (each.do === 'wait') life.now += each.ms;
        else if (each.do === 'take') {
          const { hard, idle } = timeouts.due(life.now);
          const all = life.rules.map((entry) => entry.rule);
          const ended = all.filter((r) => hardDeadline(r) < life.now);
          const unused = all.filter((r) => hardDeadline(r) >= life.now && idleDeadline(r) < life.now);
          assert.deepEqual(new Set(hard), new Set(ended));
          assert.deepEqual(new Set(idle), new Set(unused));
          assert.equal(hard.length + idle.length, ended.length + unused.length);
          // Whoever removes them may fail to: they are due again.
          if (each.do === 'take') assert.equal(timeouts.due(life.now).hard.length, hard.length);
          for (const gone of [...hard, ...idle]) {
            timeouts.remove(gone);
            life.remove(gone);
          }
        } else {
          const touched = life.rules[each.nth]?.rule;
          if (touched === undefined) continue;
          if (each.do === 'remove') {
            timeouts.remove(touched);
            life.remove(touched);
          } else if (life.touch(each, touched)) timeouts.add(touched);
        }
        const timed = life.rules.filter(({ rule: r }) => r.idleTimeout > 0 || r.hardTimeout > 0);
        assert.equal(timeouts.size, timed.length);
      }
    }),
  );
});

test('what a full table gives up is the least of the largest owner', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.boolean(),
      fc.array(step, { maxLength: 80 }),
      (byImportance, grouped, steps) => {
        const life = new Life();
        const groups = grouped ? ['NXM_OF_IN_PORT[]', 'nonsense'] : [];
        const eviction = new EvictionGroups({ byImportance, groups });
        for (const each of steps) {
          if (each.do === 'add') eviction.add(life.add(each));
          else if (each.do === 'wait') life.now += each.ms;
          else if (each.do === 'take') {
            const victim = eviction.victim();
            const entries = life.rules.filter(
              ({ rule: r }) => r.idleTimeout > 0 || r.hardTimeout > 0 || (byImportance && r.importance > 0),
            );
            assert.equal(victim === null, entries.length === 0);
            if (victim === null) continue;
            const owner = (entry: (typeof entries)[number]) => (grouped ? entry.owner : 0);
            const sizes = new Map<number, number>();
            for (const entry of entries) sizes.set(owner(entry), (sizes.get(owner(entry)) ?? 0) + 1);
            const own = entries.find((entry) => entry.rule === victim);
            assert.ok(own !== undefined);
            assert.equal(sizes.get(owner(own)), Math.max(...sizes.values()), 'of a largest group');
            const rank = (r: Rule) => [
              byImportance ? r.importance : 0,
              Math.min(hardDeadline(r), idleDeadline(r)),
            ];
            for (const other of entries) {
              if (owner(other) !== owner(own)) continue;
              const [a, b] = [rank(victim), rank(other.rule)];
              assert.ok(a[0] < b[0] || (a[0] === b[0] && a[1] <= b[1]), 'and none of it is to go before');
            }
            eviction.remove(victim);
            life.remove(victim);
          } else {
            const touched = life.rules[each.nth]?.rule;
            if (touched === undefined) continue;
            if (each.do === 'remove') {
              eviction.remove(touched);
              life.remove(touched);
            } else if (life.touch(each, touched)) eviction.add(touched);
          }
        }
      },
    ),
  );
});
