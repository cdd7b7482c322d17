/** TLS between our server side and our client side, with certificates made for the occasion. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import type { RpcChannel } from '../../ovsdb/rpc/channel.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { NO_TLS, type TlsNames } from './files.ts';
import { type Identity, makeCertificate, opensslMissing } from './testing/certificates.ts';

const skip = opensslMissing();
const dir = mkdtempSync(join(tmpdir(), 'weft-tls-'));
after(() => rmSync(dir, { recursive: true, force: true }));

type Names = { -readonly [K in keyof TlsNames]: TlsNames[K] };

function transports(own: Identity, trusted: string): { sockets: SocketTransports; names: Names } {
  const names: Names = { ...NO_TLS, privateKey: own.key, certificate: own.cert, caCert: trusted };
  return { sockets: new SocketTransports(dir, nullLogger.module('x'), () => names), names };
}

const quiet = { onMessage() {}, onDrain() {}, onActivity() {} };

test('peers know each other by certificate, strangers stay out, and renewed certificates are taken over', {
  skip,
}, async () => {
  const [server, client, stranger] = ['server', 'client', 'stranger'].map((name) =>
    makeCertificate(dir, name),
  );
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
  const renewed = await transports(client, stranger.cert).sockets.connector(target).connect();
  renewed.close();
  for (const { channel: open } of accepted) open.close();
  listener.close();
});

test('the authority that a server shows first is the one that is believed from then on', {
  skip,
}, async () => {
  const [authority, other] = ['authority', 'other'].map((name) => makeCertificate(dir, name));
  const serverSide = transports(makeCertificate(dir, 'signed', authority), authority.cert);
  serverSide.names.peerCaCert = authority.cert;
  const listener = await serverSide.sockets.listen('pssl:0:127.0.0.1', undefined, (channel) =>
    channel.receive({ ...quiet, onClose() {} }),
  );
  const target = `ssl:127.0.0.1:${listener.port}`;
  const clientSide = transports(makeCertificate(dir, 'guest', authority), join(dir, 'learned.pem'));
  const connect = () => clientSide.sockets.connector(target).connect();
  await assert.rejects(connect(), /learned\.pem/, 'without permission nothing is learned');
  assert.ok(!existsSync(clientSide.names.caCert!));

  clientSide.names.bootstrap = true;
  await assert.rejects(connect(), /CA cert bootstrapped to .*learned\.pem/);
  const body = (file: string) => readFileSync(file, 'utf8').replace(/\s/g, '');
  assert.equal(body(clientSide.names.caCert!), body(authority.cert));
  (await connect()).close();

  const impostor = makeCertificate(dir, 'impostor', other);
  serverSide.names.privateKey = impostor.key;
  serverSide.names.certificate = impostor.cert;
  serverSide.names.peerCaCert = other.cert;
  await assert.rejects(connect());

  // A server that keeps its authority to itself teaches nothing.
  serverSide.names.peerCaCert = undefined;
  clientSide.names.caCert = join(dir, 'never.pem');
  await assert.rejects(connect(), /showed no self-signed one/);
  assert.ok(!existsSync(clientSide.names.caCert));
  listener.close();
});

test('a server goes on with what it has when new files are no good', { skip }, async () => {
  const own = makeCertificate(dir, 'lasting');
  const serverSide = transports(own, own.cert);
  const listener = await serverSide.sockets.listen('pssl:0:127.0.0.1', undefined, (channel) =>
    channel.receive({ ...quiet, onClose() {} }),
  );
  const connector = transports(own, own.cert).sockets.connector(`ssl:127.0.0.1:${listener.port}`);
  const half = join(dir, 'half.pem');
  writeFileSync(half, readFileSync(own.cert, 'utf8').slice(0, 100));
  for (const bad of [half, join(dir, 'nowhere.pem')]) {
    serverSide.names.certificate = bad;
    (await connector.connect()).close();
  }
  listener.close();
});
