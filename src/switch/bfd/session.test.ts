import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nullLogger } from '../../base/log.ts';
import {
  BFD_ADMIN_DOWN,
  BFD_DIAG_CONCATENATED_PATH_DOWN,
  BFD_DIAG_EXPIRED,
  BFD_DIAG_NEIGHBOR_DOWN,
  BFD_DIAG_NONE,
  BFD_DOWN,
  BFD_FINAL,
  BFD_INIT,
  BFD_POLL,
  BFD_UP,
  type Bfd,
  bfdLength,
  emitBfd,
  parseBfd,
} from '../../wire/bfd.ts';
import { Malformed } from '../../wire/malformed.ts';
import { EventClock } from '../testing/event-clock.ts';
import { BfdSession } from './session.ts';
import { type BfdSettings, readBfdSettings } from './settings.ts';

const settings = (column: Record<string, string> = {}): BfdSettings => {
  const read = readBfdSettings(new Map(Object.entries({ enable: 'true', ...column })), (text) =>
    assert.fail(text),
  );
  assert.ok(read !== null);
  return read;
};

const bytesOf = (packet: Bfd): Uint8Array => {
  const bytes = new Uint8Array(bfdLength(packet));
  emitBfd(packet, bytes, 0);
  return bytes;
};

/** A generator of numbers from 0 up to 1 that a seed decides (Marsaglia's xorshift32). */
function seeded(seed: number): () => number {
  let x = seed | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

class End {
  readonly session: BfdSession;
  readonly sent: Bfd[] = [];
  rxPackets = 0;
  changes = 0;
  deliver: (packet: Bfd) => void = () => {};

  constructor(
    clock: EventClock,
    discriminator: number,
    column: Record<string, string> = {},
    random: () => number = () => 0,
  ) {
    this.session = new BfdSession({
      name: `end${discriminator}`,
      discriminator,
      settings: settings(column),
      clock,
      random,
      send: (packet) => {
        this.sent.push(packet);
        this.deliver(packet);
      },
      rxPackets: () => this.rxPackets,
      onChange: () => void this.changes++,
      log: nullLogger.module('bfd'),
    });
  }

  hear(packet: Partial<Bfd>, ttl = 255): void {
    this.session.receive(bytesOf({ ...NEIGHBOR, ...packet }), ttl);
  }

  get state(): number {
    return this.session.snapshot.state;
  }
}

const NEIGHBOR: Bfd = {
  layer: 'bfd',
  diagnostic: 0,
  state: BFD_DOWN,
  flags: 0,
  detectMult: 3,
  myDiscriminator: 99,
  yourDiscriminator: 0,
  desiredMinTx: 100_000,
  requiredMinRx: 100_000,
  requiredMinEchoRx: 0,
};

function fresh(column: Record<string, string> = {}): { clock: EventClock; end: End } {
  const clock = new EventClock();
  return { clock, end: new End(clock, 1, column) };
}

/** A session that is up with a neighbor who is played by the test. */
function up(column: Record<string, string> = {}): { clock: EventClock; end: End } {
  const { clock, end } = fresh(column);
  end.hear({});
  end.hear({ state: BFD_INIT, yourDiscriminator: 1 });
  clock.advance(0);
  assert.equal(end.state, BFD_UP);
  return { clock, end };
}

test('down, init, up: each step is told at once', () => {
  const clock = new EventClock();
  const end = new End(clock, 1);
  clock.advance(0);
  assert.equal(end.sent.at(-1)?.state, BFD_DOWN);
  end.hear({});
  clock.advance(0);
  assert.equal(end.sent.at(-1)?.state, BFD_INIT);
  assert.equal(end.sent.at(-1)?.yourDiscriminator, 99);
  end.hear({ state: BFD_INIT, yourDiscriminator: 1 });
  clock.advance(0);
  assert.equal(end.sent.at(-1)?.state, BFD_UP);
  assert.equal(end.session.forwarding, true);
  assert.equal(end.session.status.get('flap_count'), '1');
});

test('every pair of states gives the state of RFC 5880 6.8.6', () => {
  const rows: [from: number, heard: number, to: number, diagnostic: number][] = [
    [BFD_DOWN, BFD_ADMIN_DOWN, BFD_DOWN, BFD_DIAG_NONE],
    [BFD_DOWN, BFD_DOWN, BFD_INIT, BFD_DIAG_NONE],
    [BFD_DOWN, BFD_INIT, BFD_UP, BFD_DIAG_NONE],
    [BFD_DOWN, BFD_UP, BFD_DOWN, BFD_DIAG_NONE],
    [BFD_INIT, BFD_ADMIN_DOWN, BFD_DOWN, BFD_DIAG_NEIGHBOR_DOWN],
    [BFD_INIT, BFD_DOWN, BFD_INIT, BFD_DIAG_NONE],
    [BFD_INIT, BFD_INIT, BFD_UP, BFD_DIAG_NONE],
    [BFD_INIT, BFD_UP, BFD_UP, BFD_DIAG_NONE],
    [BFD_UP, BFD_ADMIN_DOWN, BFD_DOWN, BFD_DIAG_NEIGHBOR_DOWN],
    [BFD_UP, BFD_DOWN, BFD_DOWN, BFD_DIAG_NEIGHBOR_DOWN],
    [BFD_UP, BFD_INIT, BFD_UP, BFD_DIAG_NONE],
    [BFD_UP, BFD_UP, BFD_UP, BFD_DIAG_NONE],
  ];
  for (const [from, heard, to, diagnostic] of rows) {
    const end = new End(new EventClock(), 1);
    if (from === BFD_INIT) end.hear({});
    if (from === BFD_UP) end.hear({ state: BFD_INIT, yourDiscriminator: 1 });
    assert.equal(end.state, from);
    end.hear({ state: heard, yourDiscriminator: 1 });
    assert.deepEqual(
      [end.state, end.session.snapshot.diagnostic],
      [to, diagnostic],
      `${from} hears ${heard}`,
    );
  }
});

test('the neighbor is down when its packets have been missing for its multiplier of the interval', () => {
  const { clock, end } = up({ min_rx: '300' });
  end.hear({ state: BFD_UP, yourDiscriminator: 1, detectMult: 4, desiredMinTx: 250_000 });
  clock.advance(1199);
  assert.equal(end.state, BFD_UP);
  clock.advance(1);
  assert.equal(end.state, BFD_DOWN);
  assert.equal(end.session.snapshot.diagnostic, BFD_DIAG_EXPIRED);
  assert.equal(end.session.forwarding, false);
  assert.equal(end.session.status.get('flap_count'), '2');
  // Nothing of the neighbor is known any more.
  clock.advance(1000);
  assert.equal(end.sent.at(-1)?.yourDiscriminator, 0);
});

test('whoever was kept from reading gives what is waiting a turn', () => {
  const late = (hears: boolean): number => {
    let now = 1000;
    const timers: { due: number; fn: () => void }[] = [];
    const clock = {
      now: () => now,
      wall: () => now,
      after: (ms: number, fn: () => void) => {
        const timer = { due: now + ms, fn };
        timers.push(timer);
        return { cancel: () => void timers.splice(timers.indexOf(timer) >>> 0, 1) };
      },
    };
    const end = new End(clock as EventClock, 1);
    end.hear({ state: BFD_INIT, yourDiscriminator: 1 });
    // The process stands still, and then finds its timers due.
    now += 60_000;
    timers.shift()?.fn();
    if (hears) end.hear({ state: BFD_UP, yourDiscriminator: 1 });
    while (timers.length > 0 && timers[0].due <= now) timers.shift()?.fn();
    return end.state;
  };
  assert.equal(late(true), BFD_UP);
  assert.equal(late(false), BFD_DOWN);
});

test('packets follow each other within a quarter below the interval, and more than a tenth with a multiplier of 1', () => {
  for (const [mult, least, most] of [
    ['3', 75, 100],
    ['1', 75, 90],
  ] as const) {
    for (const draw of [0, 0.5, 0.999]) {
      const clock = new EventClock();
      const end = new End(clock, 1, { mult, min_tx: '100' }, () => draw);
      end.hear({ state: BFD_INIT, yourDiscriminator: 1, detectMult: 255 });
      clock.advance(0);
      const times: number[] = [];
      end.deliver = () => times.push(clock.now());
      clock.advance(2000);
      assert.ok(times.length > 10);
      for (let i = 1; i < times.length; i++) {
        const gap = times[i] - times[i - 1];
        assert.ok(gap >= least && gap <= most, `${gap} ms with multiplier ${mult} and draw ${draw}`);
      }
    }
  }
});

test('a session that is not up sends at most once a second, whatever it was told', () => {
  const clock = new EventClock();
  const end = new End(clock, 1, { min_tx: '10' });
  clock.advance(10_500);
  assert.ok(end.sent.length <= 12, `${end.sent.length} packets`);
  assert.ok(end.sent.every((packet) => packet.desiredMinTx === 1_000_000));
});

test('a neighbor that takes no periodic packets gets none, but hears of changes and of polls', () => {
  const { clock, end } = up();
  end.hear({ state: BFD_UP, yourDiscriminator: 1, requiredMinRx: 0, detectMult: 255 });
  clock.advance(0);
  end.sent.length = 0;
  clock.advance(5000);
  assert.equal(end.sent.length, 0);
  end.hear({ state: BFD_UP, yourDiscriminator: 1, requiredMinRx: 0, flags: BFD_POLL, detectMult: 255 });
  clock.advance(0);
  assert.deepEqual(
    end.sent.map((packet) => packet.flags),
    [BFD_FINAL],
  );
});

test('a poll is answered at once, and goes on until it is answered', () => {
  const { clock, end } = up({ min_tx: '100', min_rx: '200' });
  end.sent.length = 0;
  end.session.configure(settings({ min_tx: '500', min_rx: '100' }));
  clock.advance(0);
  assert.equal(end.sent.at(-1)?.flags, BFD_POLL);
  assert.equal(end.sent.at(-1)?.desiredMinTx, 500_000);
  assert.equal(end.sent.at(-1)?.requiredMinRx, 100_000);
  // Until the neighbor knows, the old intervals hold: neither slower sending nor faster detection.
  assert.equal(end.session.snapshot.txInterval, 100);
  assert.equal(end.session.snapshot.rxInterval, 200);
  // The neighbor polls as well: an answer must not be a question.
  end.hear({ state: BFD_UP, yourDiscriminator: 1, flags: BFD_POLL });
  clock.advance(0);
  assert.equal(end.sent.at(-1)?.flags, BFD_FINAL);
  clock.advance(100);
  assert.equal(end.sent.at(-1)?.flags, BFD_POLL);
  end.hear({ state: BFD_UP, yourDiscriminator: 1, flags: BFD_FINAL });
  assert.equal(end.session.snapshot.txInterval, 500);
  assert.equal(end.session.snapshot.rxInterval, 100);
  clock.advance(100);
  assert.equal(end.sent.at(-1)?.flags, 0);
});

test('a path that is down behind a neighbor stops forwarding, not the session', () => {
  const { clock, end } = up();
  end.hear({ state: BFD_UP, yourDiscriminator: 1, diagnostic: BFD_DIAG_CONCATENATED_PATH_DOWN });
  assert.equal(end.state, BFD_UP);
  assert.equal(end.session.forwarding, false);
  end.hear({ state: BFD_UP, yourDiscriminator: 1 });
  assert.equal(end.session.forwarding, true);
  end.session.configure(settings({ cpath_down: 'true' }));
  clock.advance(0);
  assert.equal(end.sent.at(-1)?.diagnostic, BFD_DIAG_CONCATENATED_PATH_DOWN);
  assert.equal(end.sent.at(-1)?.flags, BFD_POLL);
  assert.equal(end.session.forwarding, true);
});

test('an operator has the last word, and it is no flap', () => {
  const { end } = up();
  end.session.override(false);
  assert.equal(end.session.forwarding, false);
  assert.equal(end.session.status.get('forwarding'), 'false');
  end.session.override(null);
  assert.equal(end.session.forwarding, true);
  assert.equal(end.session.status.get('flap_count'), '1');
});

test('with forwarding_if_rx traffic keeps a port forwarding for a while, control packets for longer', () => {
  const { clock, end } = up({ min_rx: '100', forwarding_if_rx: 'true' });
  end.session.traffic();
  clock.advance(500);
  assert.equal(end.state, BFD_DOWN);
  assert.equal(end.session.forwarding, true);
  clock.advance(1500);
  assert.equal(end.session.forwarding, false);
  for (let i = 0; i < 70; i++) {
    end.session.traffic();
    clock.advance(100);
  }
  assert.equal(end.session.forwarding, true);
  // 100 intervals without a single control packet.
  for (let i = 0; i < 10; i++) {
    end.session.traffic();
    clock.advance(100);
  }
  assert.equal(end.session.forwarding, false);
});

test('a port without traffic takes fewer packets, until traffic comes', () => {
  const clock = new EventClock();
  const end = new End(clock, 1, { min_rx: '100', decay_min_rx: '3000' });
  const peer = new End(clock, 2, { min_tx: '100' });
  wire(clock, end, peer);
  clock.advance(1000);
  assert.equal(end.session.snapshot.minRx, 100);
  clock.advance(4000);
  assert.equal(end.session.snapshot.minRx, 3000);
  assert.equal(peer.session.snapshot.txInterval, 3000);
  assert.equal(end.state, BFD_UP);
  for (let i = 0; i < 70; i++) {
    end.rxPackets += 10;
    clock.advance(100);
  }
  assert.equal(end.session.snapshot.minRx, 100);
  assert.equal(end.state, BFD_UP);
});

function wire(clock: EventClock, a: End, b: End, fate: () => readonly number[] = () => [1]): void {
  const join = (from: End, to: End): void => {
    from.deliver = (packet) => {
      for (const delay of fate()) {
        clock.after(delay, () => {
          to.rxPackets++;
          to.session.receive(bytesOf(packet), 255);
        });
      }
    };
  };
  join(a, b);
  join(b, a);
}

const anyColumn = fc
  .record({
    min_tx: fc.integer({ min: 10, max: 2000 }),
    min_rx: fc.integer({ min: 10, max: 2000 }),
    mult: fc.integer({ min: 1, max: 5 }),
    decay: fc.boolean(),
    forwarding_if_rx: fc.boolean(),
  })
  .map(({ decay, ...column }) =>
    Object.fromEntries(
      Object.entries({ ...column, decay_min_rx: decay ? column.min_rx + 500 : 0 }).map(([key, value]) => [
        key,
        String(value),
      ]),
    ),
  );

test('two ends agree again whenever the channel between them heals, whatever it did before', () => {
  fc.assert(
    fc.property(
      anyColumn,
      anyColumn,
      fc.array(fc.option(anyColumn, { freq: 4 }), { maxLength: 6 }),
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      (columnA, columnB, changes, seed) => {
        const random = seeded(seed);
        const clock = new EventClock();
        const a = new End(clock, 1, columnA, random);
        const b = new End(clock, 2, columnB, random);
        let broken = true;
        wire(clock, a, b, () => {
          if (!broken) return [1];
          // Lost, late by up to six seconds (hence out of order), or twice.
          if (random() < 0.4) return [];
          const copies = random() < 0.2 ? 2 : 1;
          return Array.from({ length: copies }, () => (random() < 0.5 ? 1 : random() * 6000));
        });
        for (const change of changes) {
          clock.advance(random() * 5000);
          if (change === null) continue;
          (random() < 0.5 ? a : b).session.configure(settings(change));
        }
        clock.advance(10_000);
        broken = false;
        // The last late packet, the longest detection time, a second of silence, and a poll.
        clock.advance(6000 + 5 * 2500 + 4000 + 6000);
        for (const [one, other] of [
          [a.session.snapshot, b.session.snapshot],
          [b.session.snapshot, a.session.snapshot],
        ]) {
          assert.equal(one.state, BFD_UP);
          assert.equal(one.remote.state, BFD_UP);
          assert.equal(one.remote.discriminator, other.discriminator);
          assert.equal(one.remote.mult, other.mult);
        }
        assert.ok(a.session.forwarding && b.session.forwarding);
        const flaps = a.session.status.get('flap_count');
        clock.advance(30_000);
        assert.equal(a.session.status.get('flap_count'), flaps, 'stays up');
      },
    ),
    { numRuns: 300 },
  );
});

test('bytes that are no valid packet of the neighbor change nothing', () => {
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          // A good packet with a few bytes spoilt, so that some get far.
          fc
            .tuple(
              fc.array(fc.tuple(fc.nat(23), fc.nat(255)), { maxLength: 4 }),
              fc.integer({ min: 10, max: 30 }),
            )
            .map(([spoils, length]) => {
              const bytes = new Uint8Array(30);
              emitBfd({ ...NEIGHBOR, state: BFD_UP, yourDiscriminator: 1 }, bytes, 0);
              for (const [at, byte] of spoils) bytes[at] = byte;
              return bytes.slice(0, length);
            }),
        ),
        { maxLength: 20 },
      ),
      fc.oneof({ weight: 4, arbitrary: fc.constant(255) }, fc.nat(254)),
      (isUp, payloads, ttl) => {
        const { clock, end } = isUp ? up() : fresh();
        for (const payload of payloads) {
          const before = JSON.stringify({ ...end.session.snapshot, now: 0 });
          end.session.receive(payload, ttl);
          const parsed = parseBfd(payload, 0, payload.length);
          const valid =
            ttl === 255 &&
            !(parsed instanceof Malformed) &&
            parsed.value.auth === undefined &&
            (parsed.value.yourDiscriminator === 1 || parsed.value.yourDiscriminator === 0);
          if (valid) accepted++;
          else assert.equal(JSON.stringify({ ...end.session.snapshot, now: 0 }), before);
          clock.advance(1);
        }
        clock.advance(1000);
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(accepted > 100, `${accepted} packets were good`);
});
