import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAnnouncement } from './ftp.ts';

const short = (text: string, v6 = false): string | null => {
  const said = readAnnouncement(text, v6);
  if (said === null || said === 'malformed') return said;
  const { passive, port, address, at, size } = said;
  const where =
    address === null ? '-' : `${[...address].map((word) => word.toString(16))} ${text.slice(at, at + size)}`;
  return `${passive ? 'server' : 'client'} ${port} ${where}`;
};

test('FTP announcements of IPv4 tell who waits where', () => {
  assert.equal(short('PORT 10,1,1,2,4,210\r'), 'client 1234 a010102,0,0,0 10,1,1,2');
  assert.equal(short('227 Entering Passive Mode (10,1,1,3,0,21).'), 'server 21 a010103,0,0,0 10,1,1,3');
  assert.equal(short('eprt |1|10.1.1.2|2000|'), 'client 2000 a010102,0,0,0 10.1.1.2');
  assert.equal(short('229 Entering Extended Passive Mode (|||65535|)'), 'server 65535 -');
});

test('FTP announcements of IPv6 tell who waits where', () => {
  assert.equal(short('EPRT |2|fd00::1|2000|', true), 'client 2000 fd000000,0,0,1 fd00::1');
  assert.equal(short('229 Extended Passive Mode OK (|||2000|)', true), 'server 2000 -');
  assert.equal(short('PORT 10,1,1,2,4,210', true), null);
});

test('what is no announcement is none, and what is wrong is malformed', () => {
  for (const text of ['', 'USER me', '200 PORT is good', 'POR']) assert.equal(short(text), null, text);
  for (const text of [
    'PORT',
    'PORT 10,1,1,2,4',
    'PORT 10,1,1,2,4,',
    'PORT 10,1,1,2,256,1',
    'PORT 10,1,1,256,1,1',
    'PORT 10,1,1,02,1,1',
    '227 Mode 1 (10,1,1,2,4,210)',
    'EPRT |2|fd00::1|2000|',
    'EPRT |1|10.1.1.2!2000|',
    'EPRT |1|10.1.1.2|65536|',
    '229 Okay',
    '229 Okay (|||)',
  ])
    assert.equal(short(text), 'malformed', text);
});
