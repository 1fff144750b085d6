import { createServer } from 'node:http';
import { labels } from '../../src/core/labels.ts';

/**
 * An engine that answers at once, in a process of its own so that its CPU time is not the service's: the Docker
 * API as far as the service uses it, over containers that do nothing. Started with the path of its socket; its
 * parent sends what it has at the start, and gets `ready`.
 */
interface Listed {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

const containers = new Map<string, Listed>();
let whole = '[]';
let nextRef = 0;

const server = createServer((request, response) => {
  const url = new URL(request.url!, 'http://engine');
  const [, first, ref] = url.pathname.split('/');
  const send = (status: number, body: unknown = '') => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  let body = '';
  request.setEncoding('utf8').on('data', (text) => {
    body += text;
  });
  request.on('end', () => {
    if (first === '_ping') return send(200, 'OK');
    if (first === 'events') return void response.writeHead(200).flushHeaders();
    if (first === 'networks')
      return send(request.method === 'POST' ? 201 : 200, request.method === 'POST' ? { Id: 'n' } : []);
    if (url.pathname === '/containers/create') {
      const { Image, Labels } = JSON.parse(body) as { Image: string; Labels: Record<string, string> };
      const Id = (++nextRef).toString(16).padStart(64, 'f');
      containers.set(Id, {
        Id,
        Names: [`/${url.searchParams.get('name')}`],
        Image,
        State: 'running',
        Labels,
      });
      return send(201, { Id, Warnings: [] });
    }
    if (url.pathname === '/containers/json') {
      const { label } = JSON.parse(url.searchParams.get('filters')!) as { label: string[] };
      const id = label.find((text) => text.startsWith(`${labels.id.name}=`))?.split('=')[1];
      // The whole list is kept ready: what it costs to make is not what is measured.
      if (id === undefined) return send(200, whole);
      return send(
        200,
        [...containers.values()].filter((c) => c.Labels[labels.id.name] === id),
      );
    }
    if (request.method === 'DELETE')
      return send(containers.delete(ref!) ? 204 : 404, { message: 'No such container' });
    return send(204);
  });
});

process.on('message', (listed: Listed[]) => {
  for (const container of listed) containers.set(container.Id, container);
  whole = JSON.stringify(listed);
  server.listen(process.argv[2], () => process.send!('ready'));
});
process.on('disconnect', () => process.exit());
