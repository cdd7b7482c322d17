/** OVN's own daemons, from Debian's packages, make a logical switch and a router out of our bridges. */
import assert from 'node:assert/strict';
import { onEachDatapath, type SwitchHost, until } from './host.ts';

const OVN_SCHEMAS = '/usr/share/ovn';

/** Starts OVN's databases, northd and the controller in the host's namespace; gives a caller of `ovn-nbctl`. */
async function startOvn(host: SwitchHost): Promise<(...args: string[]) => Promise<string>> {
  const env = { ...host.env, OVN_RUNDIR: host.dir, OVN_LOGDIR: host.dir, OVN_DBDIR: host.dir };
  const { network, ns } = host;
  for (const name of ['nb', 'sb']) {
    await host.must('ovsdb-tool', 'create', host.path(`${name}.db`), `${OVN_SCHEMAS}/ovn-${name}.ovsschema`);
    const remote = `--remote=punix:${host.path(`${name}.sock`)}`;
    network.start(
      ns,
      '/usr/sbin/ovsdb-server',
      [host.path(`${name}.db`), remote, `--unixctl=${name}.ctl`],
      env,
    );
  }
  const [north, south] = ['nb', 'sb'].map((name) => `unix:${host.path(`${name}.sock`)}`);
  const nbctl = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await network.run(
      ns,
      'ovn-nbctl',
      [`--db=${north}`, '--timeout=20', ...args],
      env,
    );
    assert.equal(status, 0, `ovn-nbctl ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  await until('the northbound database answers', async () => {
    return (await network.run(ns, 'ovn-nbctl', [`--db=${north}`, '--timeout=2', 'init'], env)).status === 0;
  });
  network.start(
    ns,
    'ovn-northd',
    [`--ovnnb-db=${north}`, `--ovnsb-db=${south}`, '--unixctl=northd.ctl'],
    env,
  );
  const type = host.datapathType;
  await host.vsctl(
    ...['set', 'Open_vSwitch', '.', 'external_ids:system-id=weft', `external_ids:ovn-remote=${south}`],
    ...['external_ids:ovn-encap-type=geneve', 'external_ids:ovn-encap-ip=127.0.0.1'],
    `external_ids:ovn-bridge-datapath-type=${type}`,
  );
  network.start(ns, 'ovn-controller', [`unix:${host.path('db.sock')}`], env);
  return nbctl;
}

/** A guest, and its port on br-int, which OVN knows by `id`. */
async function guest(
  host: SwitchHost,
  id: string,
  mac: string,
  address: string,
  via: string,
): Promise<string> {
  const { network } = host;
  const ns = network.namespace(id);
  network.veth(ns, 'eth0', host.ns, `if-${id}`, mac, address);
  network.ip(ns, 'route', 'add', 'default', 'via', via);
  await host.vsctl(
    ...['--may-exist', 'add-br', 'br-int', '--', 'set', 'bridge', 'br-int', 'fail_mode=secure'],
    ...[`datapath_type=${host.datapathType}`, '--', 'add-port', 'br-int', `if-${id}`],
    ...['--', 'set', 'interface', `if-${id}`, `external_ids:iface-id=${id}`],
  );
  return ns;
}

onEachDatapath(
  'OVN switches and routes between guests, and drops what its access lists deny, by packet and by connection',
  { tools: ['ovn-controller', 'ovn-northd', 'ovn-nbctl', 'ping'] },
  async (host) => {
    const nbctl = await startOvn(host);
    const [a, b, c] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'];
    await nbctl(
      ...['ls-add', 's1', '--', 'ls-add', 's2', '--', 'lr-add', 'r'],
      ...['--', 'lsp-add', 's1', 'a', '--', 'lsp-set-addresses', 'a', `${a} 10.1.0.10`],
      ...['--', 'lsp-add', 's1', 'b', '--', 'lsp-set-addresses', 'b', `${b} 10.1.0.11`],
      ...['--', 'lsp-add', 's2', 'c', '--', 'lsp-set-addresses', 'c', `${c} 10.2.0.12`],
    );
    for (const [n, name] of ['s1', 's2'].entries()) {
      await nbctl(
        ...['lrp-add', 'r', `r-${name}`, `02:00:00:00:01:0${n + 1}`, `10.${n + 1}.0.1/24`],
        ...['--', 'lsp-add', name, `${name}-r`, '--', 'lsp-set-type', `${name}-r`, 'router'],
        ...['--', 'lsp-set-addresses', `${name}-r`, 'router'],
        ...['--', 'lsp-set-options', `${name}-r`, `router-port=r-${name}`],
      );
    }
    const left = await guest(host, 'a', a, '10.1.0.10/24', '10.1.0.1');
    const right = await guest(host, 'b', b, '10.1.0.11/24', '10.1.0.1');
    const far = await guest(host, 'c', c, '10.2.0.12/24', '10.2.0.1');
    const pings = async (from: string, to: string): Promise<boolean> =>
      (await host.network.run(from, 'ping', ['-c1', '-W1', to])).status === 0;
    for (const to of ['10.1.0.11', '10.1.0.1', '10.2.0.12'])
      await until(`${to} answers`, () => pings(left, to));
    await until('the way back', () => pings(far, '10.1.0.10'));

    await nbctl('acl-add', 's2', 'to-lport', '1000', 'outport == "c" && icmp4', 'drop');
    await until('denied', async () => !(await pings(left, '10.2.0.12')));
    assert.ok(await pings(left, '10.1.0.11'), 'others are as before');
    await nbctl('acl-del', 's2');
    await until('allowed again', () => pings(left, '10.2.0.12'));

    // Stateful: answers come to a, and nothing that it has not asked for.
    await nbctl(
      ...['acl-add', 's1', 'to-lport', '1000', 'outport == "a" && ip4', 'drop'],
      ...['--', 'acl-add', 's1', 'from-lport', '1000', 'inport == "a" && ip4', 'allow-related'],
    );
    await until('not asked for', async () => !(await pings(right, '10.1.0.10')));
    await until('answers', () => pings(left, '10.1.0.11'));
    assert.ok(!(await pings(right, '10.1.0.10')));
  },
);
