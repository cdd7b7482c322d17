/** FTP and TFTP around a few hosts, for the connection tracker's helpers. */
import { address, type Draw, frame, half, ip, pick, sealed, word } from './ct-packets.ts';

interface Control {
  readonly client: number;
  readonly server: number;
  readonly v6: boolean;
  readonly port: number;
  /** Next sequence number of client and server, as themselves count. */
  readonly seq: [number, number];
  /** What each has been told of the other's numbers. */
  begun: boolean;
}

/** What clients and servers say; `said` is the address that they name. */
function lines(draw: Draw, v6: boolean, answer: boolean, said: readonly number[], port: number): string {
  const four = said.join(',');
  const [high, low] = half(port);
  if (v6) {
    const text = said
      .map((b) => b.toString(16).padStart(2, '0'))
      .join('')
      .replace(/(....)(?=.)/g, '$1:');
    const short = `fd00::${said[15].toString(16)}`;
    const right = answer
      ? `229 Entering Extended Passive Mode (|||${port}|)\r\n`
      : `EPRT |2|${draw.chance(0.3) ? text : short}|${port}|\r\n`;
    return pick(draw, [
      right,
      right,
      right,
      'NOOP\r\n',
      'EPRT |1|1.2.3.4|5|\r\n',
      '229 Extended Passive Mode ()\r\n',
    ]);
  }
  const right = answer
    ? `227 Entering Passive Mode (${four},${high},${low}).\r\n`
    : `${pick(draw, ['PORT', 'port'])} ${four},${high},${low}\r\n`;
  const wrong = [
    'PORT\r\n',
    'PORT 10,1,1\r\n',
    'PORT 10,1,1,1,4,\r\n',
    `PORT ${four},256,1\r\n`,
    `PORT ${four},1,256\r\n`,
    `PORT 0${four},1,25\r\n`,
    'PORT 99,1,1,1,4,1\r\n',
    `227 ${four.replaceAll(',', '.')},4,1\r\n`,
    'USER anonymous\r\n',
    '200 Okay\r\n',
    'P',
    '',
    '',
  ];
  return draw.chance(0.65) ? right : pick(draw, wrong);
}

const itself = (host: number): number => host;

export interface Step {
  readonly port: 1 | 2;
  readonly packet: Uint8Array;
}

/** Control connections, what is said on them, and the connections that come of it. */
export class FtpTraffic {
  readonly #draw: Draw;
  readonly #controls: Control[] = [];
  /** The host that clients see for a server, and servers for a client. */
  readonly #serverAs: (server: number) => number;
  readonly #clientAs: (client: number) => number;

  constructor(draw: Draw, serverAs = itself, clientAs = itself) {
    this.#draw = draw;
    this.#serverAs = serverAs;
    this.#clientAs = clientAs;
  }

  next(): Step {
    const draw = this.#draw;
    if (draw.chance(0.15)) return this.#tftp();
    if (this.#controls.length < 4 && draw.chance(0.4)) {
      const control: Control = {
        client: 1 + draw.int(2),
        server: 3 + draw.int(2),
        v6: draw.chance(0.3),
        port: 1000 + draw.int(2),
        seq: [draw.int(2 ** 32), draw.int(2 ** 32)],
        begun: false,
      };
      this.#controls.push(control);
      return this.#segment(control, false, 0x02, '');
    }
    if (this.#controls.length === 0) return this.#tftp();
    const control = pick(draw, this.#controls);
    if (!control.begun) {
      control.begun = true;
      return this.#segment(control, true, 0x12, '');
    }
    if (draw.chance(0.4)) return this.#data(control);
    const answer = draw.chance(0.5);
    const speaker = answer ? control.server : control.client;
    const other = draw.chance(0.05) ? 9 : 0;
    const said = address(other || speaker, control.v6);
    const text = lines(draw, control.v6, answer, said, 2000 + draw.int(3));
    return this.#segment(control, answer, 0x18, text);
  }

  /** Addresses as a packet that goes in at a port has them. */
  #addresses(client: number, server: number, fromServer: boolean, v6: boolean): [number[], number[]] {
    return fromServer
      ? [address(server, v6), address(this.#clientAs(client), v6)]
      : [address(client, v6), address(this.#serverAs(server), v6)];
  }

  #segment(control: Control, answer: boolean, flags: number, text: string): Step {
    const { client, server, v6, port, seq } = control;
    const [src, dst] = this.#addresses(client, server, answer, v6);
    const ports = answer ? [21, port] : [port, 21];
    const mine = answer ? 1 : 0;
    const packet = tcp(src, dst, ports, seq[mine], (flags & 0x10) === 0 ? 0 : seq[1 - mine], flags, text);
    seq[mine] += text.length + (flags & 2 ? 1 : 0);
    return { port: answer ? 2 : 1, packet: frame(packet, v6) };
  }

  /** A segment of a data connection that was announced, or was not. */
  #data(control: Control): Step {
    const draw = this.#draw;
    const { client, server, v6 } = control;
    const fromServer = draw.chance(0.5);
    const [src, dst] = this.#addresses(client, server, fromServer, v6);
    const listens = 2000 + draw.int(4);
    const other = 20 + draw.int(2);
    const ports = draw.chance(0.7) ? [other, listens] : [listens, other];
    const packet = tcp(src, dst, ports, 1, 1, pick(draw, [0x02, 0x02, 0x12, 0x10]), '');
    return { port: fromServer ? 2 : 1, packet: frame(packet, v6) };
  }

  #tftp(): Step {
    const draw = this.#draw;
    const v6 = draw.chance(0.3);
    const fromServer = draw.chance(0.5);
    const [src, dst] = this.#addresses(1 + draw.int(2), 3, fromServer, v6);
    const client = 1069 + draw.int(2);
    const ports = fromServer ? [pick(draw, [69, 3000, 3001]), client] : [client, pick(draw, [69, 69, 3000])];
    const body = [...ports.flatMap(half), 0, 12, 0, 0, 0, 1, 0x41, 0];
    return { port: fromServer ? 2 : 1, packet: frame(sealed(ip(src, dst, 17, body), v6, 17, 6), v6) };
  }
}

function tcp(
  src: readonly number[],
  dst: readonly number[],
  ports: readonly number[],
  seq: number,
  ack: number,
  flags: number,
  text: string,
): number[] {
  const header = [
    ...ports.flatMap(half),
    ...word(seq),
    ...word(ack),
    0x50,
    flags,
    ...half(29_200),
    0,
    0,
    0,
    0,
  ];
  const bytes = [...text].map((each) => each.charCodeAt(0));
  return sealed(ip(src, dst, 6, [...header, ...bytes]), src.length === 16, 6, 16);
}
