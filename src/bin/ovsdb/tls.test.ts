/** TLS between our server side and our client side, with certificates made for the occasion. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import type { RpcChannel } from '../../ovsdb/rpc/channel.ts';
import { SocketTransports } from './socket.ts';
import type { TlsNames } from './tls.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';
const dir = mkdtempSync(join(tmpdir(), 'weft-tls-'));
after(() => rmSync(dir, { recursive: true, force: true }));

/** A self-signed certificate, which is its own authority. */
function certificate(name: string): { key: string; cert: string } {
  const key = join(dir, `${name}.key`);
  const cert = join(dir, `${name}.pem`);
  const made = spawnSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(made.status, 0, made.stderr);
  return { key, cert };
}

function transports(
  own: { key: string; cert: string },
  trusted: string,
): { sockets: SocketTransports; names: { -readonly [K in keyof TlsNames]: TlsNames[K] } } {
  const names = {
    privateKey: own.key,
    certificate: own.cert,
    caCert: trusted,
    peerCaCert: undefined,
    protocols: undefined,
    ciphers: undefined,
  };
  return { sockets: new SocketTransports(dir, nullLogger.module('x'), () => names), names };
}

const quiet = { onMessage() {}, onDrain() {}, onActivity() {} };

test('peers know each other by certificate, strangers stay out, and renewed certificates are taken over', {
  skip,
}, async () => {
  const [server, client, stranger] = ['server', 'client', 'stranger'].map(certificate);
  const { sockets, names } = transports(server, client.cert);
  const accepted: { channel: RpcChannel; id: string | undefined }[] = [];
  const listener = await sockets.listen('pssl:0:127.0.0.1', undefined, (channel, _peer, id) => {
    accepted.push({ channel, id });
    channel.receive({ ...quiet, onClose() {}, onMessage: (m) => channel.send(m) });
  });
  const target = `ssl:127.0.0.1:${listener.port}`;
  const channel = await transports(client, server.cert).sockets.connector(target).connect();
  const echoed = new Promise((resolve) => channel.receive({ ...quiet, onMessage: resolve, onClose() {} }));
  channel.send({ method: 'echo', params: [1], id: 1 });
  assert.deepEqual(await echoed, { method: 'echo', params: [1], id: 1 });
  assert.equal(accepted[0].id, 'client');
  channel.close();

  await assert.rejects(transports(client, stranger.cert).sockets.connector(target).connect());
  // The server finds out that it does not know a client only after the client thinks all is well.
  const refused = await transports(stranger, server.cert).sockets.connector(target).connect();
  await new Promise<void>((resolve) => refused.receive({ ...quiet, onClose: () => resolve() }));
  assert.equal(accepted.length, 1);

  names.privateKey = stranger.key;
  names.certificate = stranger.cert;
  sockets.refreshTls();
  const renewed = await transports(client, stranger.cert).sockets.connector(target).connect();
  renewed.close();
  for (const { channel: open } of accepted) open.close();
  listener.close();
});
