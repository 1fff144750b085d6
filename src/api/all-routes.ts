import type { TextRoute } from './original.ts';
import { createRouteTable, type RouteEntry, type RouteTable } from './routes.ts';
import type { StaticRoute } from './static-routes.ts';
import { openApiDocument } from './v1/openapi.ts';
import { operations } from './v1/operations.ts';

/** Every route of the API, with what is needed to call it. */
export function tableOfAll(originals: readonly TextRoute[], statics: readonly StaticRoute[]): RouteTable {
  return createRouteTable([
    ...originals.flatMap(({ path, methods, scope }) =>
      methods.map((method): RouteEntry => ({ method, path, access: { scope }, errors: 'text' })),
    ),
    ...statics.map(({ path, access }): RouteEntry => ({ method: 'GET', path, access, errors: 'problem' })),
    ...operations.map(
      ({ method, path, scope }): RouteEntry => ({
        method,
        path,
        access: scope && { scope },
        errors: 'problem',
      }),
    ),
  ]);
}

/** The document that describes the API: the same in every installation, so that it needs no token. */
export function openApiRoute(): StaticRoute {
  const body = JSON.stringify(openApiDocument(operations));
  return {
    path: '/openapi.json',
    access: null,
    answer: async () => ({ contentType: 'application/json', body }),
  };
}
