/**
 * Random tenants, random changes in any order, random frames: what arrives at which machine is what the reference model
 * says, after every change, byte for byte. The model knows the API's objects and nothing of flows.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Trial } from './trial.ts';

const CHANGES = 30;

async function run(seed: number, stateful: boolean): Promise<void> {
  const trial = new Trial(seed, stateful);
  await trial.start();
  trial.round();
  for (let i = 0; i < CHANGES; i++) {
    await trial.change();
    trial.round();
  }
  const { counts } = trial;
  assert.ok(
    counts.delivered > 100 && counts.answered > 5 && counts.silent > 100,
    `little has happened: ${JSON.stringify(counts)}`,
  );
}

test('machines get what the model of the API says, after every change: stateless rules', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), (seed) => run(seed, false)),
    { numRuns: 2, endOnFailure: true },
  );
});

test('machines get what the model of the API says, after every change: connections', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), (seed) => run(seed, true)),
    { numRuns: 3, endOnFailure: true },
  );
});
