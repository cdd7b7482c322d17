import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/cli/nlog.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../examples/nlog');
const example = (name: string): string => join(folder, name);

async function weft(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

test('check says what a program has, and fails on one that is wrong', async () => {
  const good = await weft('check', example('tunnels.nlog'));
  assert.equal(good.code, 0);
  assert.match(good.out, /6 input, 1 internal and 2 output tables, 3 rules/);
  const temporary = mkdtempSync(join(tmpdir(), 'weft-nlog-'));
  try {
    const file = join(temporary, 'bad.nlog');
    writeFileSync(file, 'output b(x: int);\nb(x) :- c(x);\n');
    const bad = await weft('check', file);
    assert.equal(bad.code, 1);
    assert.match(
      bad.err,
      /bad\.nlog:2:9: error: "c" is not declared \[unknown-table\]\n {2}b\(x\) :- c\(x\);\n {10}\^/,
    );
    writeFileSync(join(temporary, 'main.nlog'), 'include "bad.nlog";\n');
    assert.match((await weft('check', join(temporary, 'main.nlog'))).err, /bad\.nlog:2:9/);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
});

test('a command or a row that is missing is told with what there is', async () => {
  assert.deepEqual(await weft('frobnicate'), {
    code: 2,
    out: '',
    err: 'weft nlog: no command "frobnicate"; there are check, run, explain, profile\n',
  });
  assert.equal((await weft('chek', 'x')).err, 'weft nlog: no command "chek"; did you mean "check"?\n');
  await assert.rejects(
    weft('explain', example('reach.nlog'), example('reach.rows')),
    /needs a row at its end/,
  );
});

test('run prints the changes of each transaction, with the types and functions of a module', async () => {
  const { code, out } = await weft(
    'run',
    example('tunnels.nlog'),
    example('tunnels.rows'),
    '--host',
    example('tunnels-host.ts'),
  );
  assert.equal(code, 0);
  assert.match(out, /transaction 2: 4 changed.*\n-ovfdb_tunnel\("hv1", "stt", "10\.0\.0\.2"\)\n/);
  assert.match(out, /\+ovs_flow\("hv3", reg1=11, output:1\)\n$/);
  const json = await weft('run', example('reach.nlog'), example('reach.rows'), '--json');
  const last = JSON.parse(json.out.trim().split('\n').at(-1)!) as {
    transaction: number;
    changes: { table: string }[];
  };
  assert.equal(last.transaction, 2);
  assert.deepEqual(
    last.changes.map((c) => c.table),
    ['reach', 'cut_off', 'degree', 'cheapest'],
  );
});

test('explain says why, or why not', async () => {
  const why = await weft('explain', example('reach.nlog'), example('reach.rows'), 'reach("c", _)');
  assert.equal(why.code, 0);
  assert.match(why.out, /^reach\("c", "d"\) {2}\[rule .*reach\.nlog:\d+:1\]\n {2}usable\("c", "d"\)/);
  const not = await weft('explain', example('reach.nlog'), example('reach.rows'), 'usable("b", "c")');
  assert.equal(not.code, 1);
  assert.match(
    not.out,
    /usable\("b", "c"\) is not there\n {2}rule .* needs not down\("b", "c"\), but there is one/,
  );
});

test('profile lists rules and tables', async () => {
  const { out } = await weft('profile', example('reach.nlog'), example('reach.rows'));
  assert.match(out, /rule +head +rows in +rows out +ms/);
  assert.match(out, /\(a, b\)|table +kind/);
});

test('wrong usage is told', async () => {
  assert.equal((await weft('chekc')).code, 2);
  assert.match((await weft('chekc')).err, /did you mean "check"/);
  await assert.rejects(weft('run'), /needs a program/);
  await assert.rejects(weft('run', 'x', '--wrong'), /unknown option "--wrong"/);
  await assert.rejects(weft('check', join(folder, 'nowhere.nlog')), /cannot read/);
  assert.equal((await weft('--help')).code, 0);
});
