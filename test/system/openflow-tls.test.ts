/** OpenFlow over TLS, with the stock tools at the other end. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { type Identity, makeCertificate } from '../../src/bin/tls/testing/certificates.ts';
import { onHost, type SwitchHost, until } from './host.ts';

const SETUP = {
  options: ['--enable-dummy', '--disable-system'],
  tools: ['ovs-testcontroller', 'openssl'],
};

/** What a stock program says with such files. */
const files = (own: Identity, authority: Identity): string[] => [
  `--private-key=${own.key}`,
  `--certificate=${own.cert}`,
  `--ca-cert=${authority.cert}`,
];

const setSsl = (host: SwitchHost, own: Identity, ca: string, bootstrap = false): Promise<string> =>
  host.vsctl('--no-wait', ...(bootstrap ? ['--bootstrap'] : []), 'set-ssl', own.key, own.cert, ca);

const bridge = (host: SwitchHost): Promise<string> =>
  host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=dummy', 'fail-mode=secure');

const isConnected = async (host: SwitchHost): Promise<boolean> =>
  (await host.get('Controller', 'br0', 'is_connected')) === 'true';

/** Starts a controller, and gives what ends it. */
async function controller(host: SwitchHost, port: number, ...args: string[]): Promise<() => void> {
  const child = host.network.start(
    host.ns,
    'ovs-testcontroller',
    [...args, `pssl:${port}:127.0.0.1`],
    host.env,
  );
  await until('the controller listens', async () => {
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    return (await host.must('cat', '/proc/net/tcp')).includes(`0100007F:${hex} 00000000:0000 0A`);
  });
  return () => child.kill('SIGKILL');
}

onHost('a bridge listens for controllers that hold a certificate, and for no others', SETUP, async (host) => {
  const [authority, stranger] = ['authority', 'stranger'].map((name) => makeCertificate(host.dir, name));
  const [own, client] = ['switch', 'client'].map((name) => makeCertificate(host.dir, name, authority));
  await setSsl(host, own, authority.cert);
  await bridge(host);
  await host.vsctl('set-controller', 'br0', 'pssl:6653:127.0.0.1');
  const show = (...given: string[]) =>
    host.run('ovs-ofctl', '--timeout=20', ...given, 'show', 'ssl:127.0.0.1:6653');
  await until('the bridge answers', async () => (await show(...files(client, authority))).status === 0);
  assert.match((await show(...files(client, authority))).stdout, /OFPST_PORT_DESC|LOCAL\(br0\)/);
  const refused = await show(...files(stranger, authority));
  assert.notEqual(refused.status, 0, refused.stdout);

  // The files change under the same names: who knows only the new authority gets in, who knows the old one does not.
  const renewed = makeCertificate(host.dir, 'renewed', stranger);
  copyFileSync(renewed.key, own.key);
  copyFileSync(renewed.cert, own.cert);
  copyFileSync(stranger.cert, authority.cert);
  const taken = await show(...files(stranger, stranger));
  assert.equal(taken.status, 0, taken.stderr);
});

onHost('a bridge connects to a controller over TLS by the SSL table', SETUP, async (host) => {
  const authority = makeCertificate(host.dir, 'authority');
  const [own, theirs] = ['switch', 'controller'].map((name) => makeCertificate(host.dir, name, authority));
  const end = await controller(host, 6653, ...files(theirs, authority));
  await bridge(host);
  await host.vsctl(
    'set-controller',
    'br0',
    'ssl:127.0.0.1:6653',
    '--',
    'set',
    'controller',
    'br0',
    'max_backoff=1000',
  );
  await until('without files the connection fails, and says so', async () => {
    return /no private key|certificate|private key/i.test(await host.get('Controller', 'br0', 'status'));
  });
  assert.equal(await isConnected(host), false);
  await setSsl(host, own, authority.cert);
  await until('it connects', () => isConnected(host));
  end();
  await until('the loss is noticed', async () => !(await isConnected(host)));
  // One whom the authority does not know takes the controller's place.
  const impostor = makeCertificate(host.dir, 'impostor');
  const endImpostor = await controller(host, 6653, ...files(impostor, authority));
  await until('the impostor is refused', async () => {
    return /certificate/i.test(await host.get('Controller', 'br0', 'status'));
  });
  assert.equal(await isConnected(host), false);
  endImpostor();
});

onHost('the first controller tells the authority where the switch may learn it', SETUP, async (host) => {
  const authority = makeCertificate(host.dir, 'authority');
  const [own, theirs] = ['switch', 'controller'].map((name) => makeCertificate(host.dir, name, authority));
  const end = await controller(host, 6653, ...files(theirs, authority), `--peer-ca-cert=${authority.cert}`);
  const learned = host.path('learned.pem');
  await setSsl(host, own, learned, true);
  await bridge(host);
  await host.vsctl(
    'set-controller',
    'br0',
    'ssl:127.0.0.1:6653',
    '--',
    'set',
    'controller',
    'br0',
    'max_backoff=1000',
  );
  await until('it connects', () => isConnected(host));
  const body = (file: string) => readFileSync(file, 'utf8').replace(/\s/g, '');
  assert.equal(body(learned), body(authority.cert));
  assert.match(host.log('ovs-vswitchd'), /stream_ssl\|INFO\|successfully bootstrapped CA cert to /);
  end();
});
