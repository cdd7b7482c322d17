/** create, list, show, set and delete, for every kind. */
import { KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { EXIT } from '../command.ts';
import type { Json } from './client.ts';
import { checkApplied, type NetContext } from './context.ts';
import { schemaOf } from './kind-options.ts';
import { brief, plain, table } from './table.ts';

/** References whose names a list looks up; of more, the ids are shown. */
const MAX_NAMES = 200;
const QUIET: ReadonlySet<string> = new Set(['description', 'tags', 'enabled', 'portSecurity']);

function collection(kind: KindName): string {
  return `/v1/${KINDS[kind].path}`;
}

/** 'logical port "web1"' */
function called(kind: KindName, object: Json): string {
  return `${KINDS[kind].title} "${plain(String(object.name ?? object.id))}"`;
}

export async function create(context: NetContext, kind: KindName): Promise<number> {
  const named = 'name' in KINDS[kind].schema.properties;
  const words = context.words(0, named ? 1 : 0, 'the name');
  const members = await context.members();
  if (words.length === 1) members.name = words[0];
  const { owner } = KINDS[kind];
  const tenant = await context.scope();
  if (owner.by === 'member' && members.tenant === undefined && tenant !== undefined) members.tenant = tenant;
  const { query, patience } = context.waiting();
  const { body } = await context.client.ask(collection(kind), {
    method: 'POST',
    body: members,
    query,
    patience,
  });
  if (context.json) context.printJson(body);
  else context.say(`created ${called(kind, body)}, ${body.id}, in revision ${body.revision}`);
  if (patience > 0) checkApplied(body, called(kind, body));
  return EXIT.ok;
}

export async function set(context: NetContext, kind: KindName): Promise<number> {
  const [name] = context.words(1, 1, `which ${KINDS[kind].title}`);
  const id = await context.find(kind, name);
  const patch = await context.members();
  for (const path of context.parsed.options.get('unset') ?? []) unset(patch, path, kind);
  if (Object.keys(patch).length === 0)
    throw new WeftError('bad-option', 'nothing to set', {
      remedy: `give members: "weft net set ${kind} --help" lists them`,
    });
  const { query, patience } = context.waiting();
  const { body } = await context.client.ask(`${collection(kind)}/${id}`, {
    method: 'PATCH',
    body: patch,
    query,
    patience,
  });
  if (context.json) context.printJson(body);
  else context.say(`${called(kind, body)} is at revision ${body.revision}`);
  if (patience > 0) checkApplied(body, called(kind, body));
  return EXIT.ok;
}

/** "qos.rate": null where the patch has nothing of it yet. */
function unset(patch: Record<string, unknown>, path: string, kind: KindName): void {
  const names = path.split('.');
  const last = names.pop()!;
  let at = patch;
  const camel = (name: string): string =>
    name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  for (const name of names.map(camel)) {
    const inner = at[name];
    at[name] = typeof inner === 'object' && inner !== null ? { ...inner } : {};
    at = at[name] as Record<string, unknown>;
  }
  const member = names.length === 0 ? camel(last) : last;
  if (names.length === 0 && schemaOf(kind).properties?.[member] === undefined)
    throw new WeftError('bad-option', `--unset ${path}: a ${KINDS[kind].title} has no "${member}"`, {
      remedy: `it has ${Object.keys(schemaOf(kind).properties ?? {}).join(', ')}`,
    });
  at[member] = null;
}

export async function remove(context: NetContext, kind: KindName): Promise<number> {
  const words = context.words(1, 100, `which ${KINDS[kind].title}`);
  const ids = await Promise.all(words.map((word) => context.find(kind, word)));
  const cascade = context.parsed.flags.has('cascade');
  const { query, patience } = context.waiting();
  const operations = ids.map((id) => ({ op: 'delete', kind, id, ...(cascade ? { cascade } : {}) }));
  const { body } = await context.client.ask('/v1/transactions', {
    method: 'POST',
    body: { operations },
    query,
    patience,
  });
  if (context.json) context.printJson({ deleted: ids.map((id) => ({ kind, id })), revision: body.revision });
  else for (const word of words) context.say(`deleted ${KINDS[kind].title} "${plain(word)}"`);
  if (patience > 0) checkApplied(body.realization as Json, `revision ${body.revision}`);
  return EXIT.ok;
}

export async function show(context: NetContext, kind: KindName): Promise<number> {
  const [name] = context.words(1, 1, `which ${KINDS[kind].title}`);
  const id = await context.find(kind, name);
  const wait = context.parsed.flags.has('wait');
  const { body } = await context.client.ask(`${collection(kind)}/${id}`, {
    query: wait ? { wait: 'realized', timeout: String(context.timeout / 1000) } : {},
    patience: wait ? context.timeout : 0,
  });
  if (context.json) context.printJson(body);
  else context.say((await lines(context, kind, body)).join('\n'));
  if (wait) checkApplied(body, called(kind, body));
  return EXIT.ok;
}

async function lines(context: NetContext, kind: KindName, object: Json): Promise<string[]> {
  const references: Readonly<Record<string, KindName>> = KINDS[kind].references;
  const rows: [string, string][] = [];
  for (const [member, value] of Object.entries(object)) {
    if (member === 'hosts' || member === 'realized' || member === 'reason') continue;
    const target = references[member] ?? (member === 'tenant' ? 'tenant' : undefined);
    if (target !== undefined && typeof value === 'string')
      rows.push([member, `${plain(await context.directory.nameOf(target, value))} (${value})`]);
    else if (typeof value === 'object' && value !== null && !Array.isArray(value) && member !== 'match')
      for (const [name, inner] of Object.entries(value))
        rows.push([`${member}.${plain(name)}`, brief(inner)]);
    else if (Array.isArray(value)) for (const item of value) rows.push([member, brief(item)]);
    else rows.push([member, brief(value)]);
  }
  const reason = object.reason === undefined ? '' : `: ${plain(String(object.reason))}`;
  rows.push(['realized', `${object.realized === true ? 'yes' : 'no'}${reason}`]);
  for (const host of object.hosts as readonly Json[])
    rows.push([
      'host',
      `${plain(String(host.node))}: ${host.state}${host.reason === undefined ? '' : ` (${plain(String(host.reason))})`}`,
    ]);
  const width = Math.max(...rows.map(([member]) => member.length));
  return rows.map(([member, text]) => `${member.padEnd(width)}  ${text}`.trimEnd());
}

export async function list(context: NetContext, kind: KindName): Promise<number> {
  context.words(0, 0, 'nothing');
  const query: Record<string, string> = {};
  for (const [member, value] of Object.entries(await context.members())) {
    if (typeof value === 'object')
      for (const [name, inner] of Object.entries(value as object))
        query[filterOf(member, name)] = String(inner);
    else query[member] = String(value);
  }
  const tenant = await context.scope();
  if (tenant !== undefined) query.tenant = tenant;
  for (const filter of context.parsed.options.get('filter') ?? []) {
    const at = filter.indexOf('=');
    if (at <= 0)
      throw new WeftError('bad-option', `--filter "${filter}" is not MEMBER=VALUE`, {
        remedy: 'such as realized=false or addresses.mac=02:00:00:00:00:01',
      });
    query[filter.slice(0, at)] = filter.slice(at + 1);
  }
  const items: Json[] = [];
  for await (const item of context.client.list(collection(kind), query)) items.push(item);
  if (context.json) {
    context.printJson(items);
    return EXIT.ok;
  }
  if (items.length === 0) context.say(`no ${KINDS[kind].plural}`);
  else context.world.io.out(await listText(context, kind, items));
  return EXIT.ok;
}

function filterOf(member: string, name: string): string {
  return member === 'tags' ? `tag.${name}` : `${member}.${name}`;
}

async function listText(context: NetContext, kind: KindName, items: readonly Json[]): Promise<string> {
  const references: Readonly<Record<string, KindName>> = KINDS[kind].references;
  const targets = new Set(items.flatMap((item) => Object.keys(references).map((member) => item[member])));
  const byName = targets.size <= MAX_NAMES;
  for (const item of items) context.directory.remember(item);
  const members = Object.keys(schemaOf(kind).properties ?? {}).filter((member) => !QUIET.has(member));
  const titles = [
    ...('name' in KINDS[kind].schema.properties ? [] : ['id']),
    ...members,
    'enabled',
    'realized',
  ];
  const rows: string[][] = [];
  for (const item of items) {
    const row: string[] = [];
    for (const title of titles) {
      const value = item[title];
      if (title === 'realized') row.push(value === true ? 'yes' : `no: ${plain(String(item.reason ?? ''))}`);
      else if (title === 'enabled') row.push(value === false ? 'no' : '');
      else if (references[title] !== undefined && typeof value === 'string')
        row.push(byName ? plain(await context.directory.nameOf(references[title], value)) : value);
      else row.push(brief(value));
    }
    rows.push(row);
  }
  rows.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  return table(titles, rows);
}
