/** Workflows: definitions, their versions and tags. */
import type {
  Json,
  Validation,
  WorkflowDetail,
  WorkflowSaved,
  WorkflowSummary,
  WorkflowVersion,
  WorkflowVersionDetail,
} from '@baton/contracts'
import type { CallOptions, Send } from './http.ts'
import { readPages } from './pages.ts'

/** A definition: YAML (or JSON) text as it stands in a file, or the value itself. */
export type DefinitionSource = string | { [key: string]: Json }

/** Calls on /api/v1/workflows. */
export function workflowCalls(send: Send) {
  return {
    /** Saves a new version, or gives the highest one when the definition is equal to it. */
    put(name: string, definition: DefinitionSource, options: CallOptions = {}): Promise<WorkflowSaved> {
      return send({ method: 'PUT', path: pathOf(name), ...contentOf(definition), ...options })
    },
    /** All workflows, newest first. */
    list(options: CallOptions & { pageSize?: number } = {}): AsyncGenerator<WorkflowSummary, void, undefined> {
      return readPages(send, '/api/v1/workflows', { limit: options.pageSize ?? 200 }, options.signal)
    },
    /** The highest version with its definition. */
    get(name: string, options: CallOptions = {}): Promise<WorkflowDetail> {
      return send({ method: 'GET', path: pathOf(name), ...options })
    },
    /** Every version, newest first, without definitions. */
    versions(name: string, options: CallOptions & { pageSize?: number } = {}): AsyncGenerator<WorkflowVersion, void, undefined> {
      return readPages(send, `${pathOf(name)}/versions`, { limit: options.pageSize ?? 200 }, options.signal)
    },
    version(name: string, version: number, options: CallOptions = {}): Promise<WorkflowVersionDetail> {
      return send({ method: 'GET', path: `${pathOf(name)}/versions/${version}`, ...options })
    },
    /** Checks a definition and saves nothing; what is wrong stands in the answer, it is not thrown. */
    validate(definition: DefinitionSource, options: CallOptions = {}): Promise<Validation> {
      return send({ method: 'POST', path: '/api/v1/workflows/validate', ...contentOf(definition), ...options })
    },
    /** Takes the workflow out of use; its runs go on. Saving it again revives it. */
    archive(name: string, options: CallOptions = {}): Promise<void> {
      return send({ method: 'DELETE', path: pathOf(name), ...options })
    },
    /** Points a tag such as `live` at a version. */
    tag(name: string, tag: string, version: number, options: CallOptions = {}): Promise<unknown> {
      return send({ method: 'PUT', path: `${pathOf(name)}/tags/${encodeURIComponent(tag)}`, body: { version }, ...options })
    },
  }
}

function pathOf(name: string): string {
  return `/api/v1/workflows/${encodeURIComponent(name)}`
}

function contentOf(definition: DefinitionSource): { body: unknown; contentType?: string } {
  return typeof definition === 'string' ? { body: definition, contentType: 'application/yaml' } : { body: definition }
}
