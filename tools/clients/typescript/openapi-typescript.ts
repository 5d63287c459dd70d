// Tests the types that openapi-typescript generated from the OpenAPI document. It uses them with
// openapi-fetch as a third-party program would, against a running service. It prints a line for
// every call.
import createClient from 'openapi-fetch';
import type { components, operations, paths } from './exports/exports.js';
import { did, env, pause, same, sha256 } from './check.js';

type Export = components['schemas']['Export'];
type Problem = components['schemas']['Problem'];
type Filters = NonNullable<operations['createExport']['parameters']['query']>;

const client = (url: string, key: string) => createClient<paths>({ baseUrl: env(url), headers: { 'X-Api-Key': env(key) } });
type Client = ReturnType<typeof client>;

async function create(c: Client, query: Filters, header: { 'Idempotency-Key'?: string } = {}): Promise<Export> {
  const { data, error, response } = await c.POST('/v1/exports', { params: { query, header } });
  if (!data) throw new Error(`POST: ${error.code}: ${error.detail}`);
  same('status', response.status, 202);
  same('Location', response.headers.get('Location'), `/v1/exports/${data.id}`);
  return data;
}

async function until(c: Client, id: string, status: Export['status']): Promise<Export> {
  for (;;) {
    const { data, error } = await c.GET('/v1/exports/{id}', { params: { path: { id }, header: { Prefer: 'wait=10' } } });
    if (!data) throw new Error(`GET: ${error.code}: ${error.detail}`);
    if (data.status === status) return data;
    if (data.error) throw new Error(`${data.error.code}: ${data.error.message}`);
    await pause(50);
  }
}

async function remove(c: Client, id: string, what: string) {
  const { response } = await c.DELETE('/v1/exports/{id}', { params: { path: { id } } });
  same('status', response.status, 204);
  did('deleteExport', 204, what);
}

async function everyFormat(c: Client) {
  for (const format of ['json', 'csv', 'markdown', 'ndjson', 'parquet'] as const) {
    let e = await create(c, { format });
    same('format', e.format, format);
    same('priority', e.priority, null);
    did('createExport', 202, format);
    e = await until(c, e.id, 'READY');
    same('progress', e.progress, 100);
    did('getExport', 200, format);

    const path = { id: e.id };
    const { data: stream, response } = await c.GET('/v1/exports/{id}/download', { params: { path }, parseAs: 'stream' });
    const file = await new Response(stream).arrayBuffer();
    same('size', file.byteLength, e.size_bytes);
    same('digest', await sha256(file), e.sha256);
    const etag = response.headers.get('ETag') ?? undefined;
    same('ETag', etag, `"${e.sha256}"`);
    did('downloadExport', 200, format);

    const whole = await c.GET('/v1/exports/{id}/download', { params: { path }, parseAs: format === 'json' ? 'json' : format === 'parquet' ? 'arrayBuffer' : 'text' });
    if (Array.isArray(whole.data)) same('memories', whole.data.length, e.memory_count);
    else if (whole.data instanceof ArrayBuffer) same('bytes', Buffer.from(whole.data), Buffer.from(file));
    else same('text', whole.data, Buffer.from(file).toString());
    same('an array', Array.isArray(whole.data), format === 'json');
    did('downloadExport', 200, `${format} at once`);

    const part = await c.GET('/v1/exports/{id}/download', { params: { path, header: { Range: `bytes=${file.byteLength - 10}-`, 'If-Range': etag } }, parseAs: 'arrayBuffer' });
    same('status', part.response.status, 206);
    same('part', Buffer.from(part.data!), Buffer.from(file.slice(-10)));
    did('downloadExport', 206, format);
    const again = await c.GET('/v1/exports/{id}/download', { params: { path, header: { 'If-None-Match': etag } } });
    same('status', again.response.status, 304);
    did('downloadExport', 304, format);
    await remove(c, e.id, format);
  }
}

async function everyFilter(c: Client) {
  const filters = {
    user_id: 'user-1', agent_id: 'agent 1, with ü&=+', session_id: 'session-1', priority: 'HIGH', categories: ['work', 'food & drink'],
    created_after: '2024-01-01T00:00:00+02:00', created_before: '2030-01-01T00:00:00Z',
  } satisfies Filters;
  const header = { 'Idempotency-Key': crypto.randomUUID() };
  const e = await create(c, { ...filters, format: 'csv' }, header);
  for (const name of ['user_id', 'agent_id', 'session_id', 'priority', 'categories'] as const) same<unknown>(name, e[name], filters[name]);
  for (const name of ['created_after', 'created_before'] as const) same(name, Date.parse(e[name]!), Date.parse(filters[name]));
  did('createExport', 202, 'every filter');
  same('id', (await create(c, { ...filters, format: 'csv' }, header)).id, e.id);
  did('createExport', 202, 'the same again');
  const other = await c.POST('/v1/exports', { params: { query: { ...filters, format: 'json' }, header } });
  refused('createExport', 'Idempotency-Key', other, 422, 'IDEMPOTENCY_KEY_REUSED');
}

async function pages(c: Client) {
  const seen = new Set<string>();
  for (let page = 1; ; page++) {
    const { data } = await c.GET('/v1/exports', { params: { query: { page, page_size: 2 } } });
    for (const e of data!.data) seen.add(e.id);
    if (page < data!.meta.last_page) continue;
    same('exports', seen.size, data!.meta.total);
    same('more than a page', page > 1, true);
    return did('listExports', 200, 'pages');
  }
}

function refused(operation: string, what: string, answer: { error?: Problem; response: Response }, status: number, code: string) {
  same('status', answer.response.status, status);
  same('code', answer.error?.code, code);
  same('status', answer.error?.status, status);
  same('errors', (answer.error?.errors?.length ?? 0) > 0, code === 'INVALID_REQUEST');
  did(operation, status, what);
}

async function refusals(c: Client) {
  const params = { path: { id: crypto.randomUUID() } };
  const at = '2026-01-01T00:00:00Z';
  refused('createExport', 'an empty window', await c.POST('/v1/exports', { params: { query: { created_after: at, created_before: at } } }), 422, 'INVALID_REQUEST');
  refused('listExports', 'page 0', await c.GET('/v1/exports', { params: { query: { page: 0 } } }), 422, 'INVALID_REQUEST');
  refused('getExport', 'unknown', await c.GET('/v1/exports/{id}', { params }), 404, 'EXPORT_NOT_FOUND');
  refused('downloadExport', 'unknown', await c.GET('/v1/exports/{id}/download', { params }), 404, 'EXPORT_NOT_FOUND');
  refused('deleteExport', 'unknown', await c.DELETE('/v1/exports/{id}', { params }), 404, 'EXPORT_NOT_FOUND');

  const stranger = client('MEMEXPORT_URL', 'NO_KEY');
  for (const [status, code, reads, writes] of [
    [401, 'UNAUTHORIZED', stranger, stranger],
    [403, 'PERMISSION_DENIED', client('MEMEXPORT_URL', 'API_KEY_WRITE'), client('MEMEXPORT_URL', 'API_KEY_READ')],
  ] as const) {
    refused('createExport', code, await writes.POST('/v1/exports'), status, code);
    refused('listExports', code, await reads.GET('/v1/exports'), status, code);
    refused('getExport', code, await reads.GET('/v1/exports/{id}', { params }), status, code);
    refused('downloadExport', code, await reads.GET('/v1/exports/{id}/download', { params }), status, code);
    refused('deleteExport', code, await writes.DELETE('/v1/exports/{id}', { params }), status, code);
  }
}

/** notReady uses a service that accepts exports but has no worker. */
async function notReady(c: Client) {
  const e = await create(c, {});
  const params = { path: { id: e.id } };
  refused('downloadExport', 'PENDING', await c.GET('/v1/exports/{id}/download', { params }), 409, 'EXPORT_NOT_READY');
  await remove(c, e.id, 'PENDING');
}

/** expired uses a service whose exports expire after a second. */
async function expired(c: Client) {
  const e = await until(c, (await create(c, {})).id, 'EXPIRED');
  const params = { path: { id: e.id } };
  refused('downloadExport', 'EXPIRED', await c.GET('/v1/exports/{id}/download', { params }), 410, 'EXPORT_EXPIRED');
}

const c = client('MEMEXPORT_URL', 'API_KEY');
await everyFormat(c);
await everyFilter(c);
await pages(c);
await refusals(c);
await notReady(client('MEMEXPORT_URL_IDLE', 'API_KEY'));
await expired(client('MEMEXPORT_URL_BRIEF', 'API_KEY'));
