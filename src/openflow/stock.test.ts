/** Holds messages and their texts against stock Open vSwitch, where it is installed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { ALL_FORMS, messageOf } from './arbitraries.ts';
import { encodeOne } from './codec.ts';
import { formatMessage } from './text/message.ts';

const directory = mkdtempSync(join(tmpdir(), 'weft-messages-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const environment = { ...process.env, OVS_RUNDIR: directory, OVS_LOGDIR: directory };

const version = spawnSync('ovs-ofctl', ['--version']).stdout?.toString() ?? '';
const skip = / 3\.1\.\d/.test(version) ? false : 'needs ovs-ofctl of Open vSwitch 3.1 as the judge';

/** What ovs-ofctl makes of messages, one text each. */
function texts(messages: readonly Uint8Array[]): string {
  const file = join(directory, 'messages');
  writeFileSync(file, Buffer.concat(messages));
  const run = spawnSync('ovs-ofctl', ['-vconsole:off', '-vsyslog:off', 'ofp-parse', file], {
    env: environment,
    maxBuffer: 1 << 28,
  });
  assert.equal(run.status, 0, run.stderr?.toString());
  return run.stdout.toString();
}

/** Stock shows what packets hold, which our messages' texts leave to others, and we do not cut here. */
const WITH_PACKETS = new Set(['packet_in', 'packet_out', 'resume']);
/**
 * Random actions seldom fit random matches, which stock then refuses to show; and of a table mod's
 * eviction it shows nothing but asterisks.
 */
const NOT_COMPARED = new Set(['flow_mod', 'table_mod', 'bundle_add', 'error']);

/** Matches on zero that stock leaves out of its texts, as if they were not there. */
const ZERO = '(?:gtpu_flags|gtpu_msgtype|tun_erspan_\\w+)=0';
const UNSHOWN = new RegExp(`,${ZERO}(?=[, ]|$)|(?<= )${ZERO},| ${ZERO}$`, 'g');

for (const { kind, version: v, variant } of ALL_FORMS) {
  if (WITH_PACKETS.has(kind) || NOT_COMPARED.has(kind)) continue;
  test(`${kind}, OpenFlow 1.${v - 1}, ${variant}: stock reads the same from it`, { skip }, () => {
    const messages = fc
      .sample(messageOf(kind, v, variant), { numRuns: 20, seed: 20_260_101 })
      .map((m) => encodeOne(m))
      .filter((bytes) => bytes.length < 16_000);
    const verbosity = 2;
    const ours = messages.map((m) => formatMessage(m, { verbosity })).join('');
    const lines = texts(messages).split('\n');
    for (const [i, line] of ours.split('\n').entries()) assert.equal(line.replaceAll(UNSHOWN, ''), lines[i]);
    assert.equal(ours.split('\n').length, lines.length);
  });
}
