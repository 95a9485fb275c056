/**
 * What a definition compiles to. Plans are immutable, compiled once per checksum and cached; they carry every kind of the contract, also
 * those that this version does not run yet.
 */
import type { ApprovalOption, Json, Paginate, StepKind } from '@baton/contracts'

/** Values an expression may look at; asked for by name, so that only what it mentions is built. */
export interface Env {
  /** `steps.<id>`: looked for in the scope of the step and in every scope around it. */
  step(id: string): { output: Json; status: string; error: Json }
  /** `input`, `run`, `workflow`, `item`, `index`, `iteration`, `last`, `vars`, `now`, `error`, `event` and the `as:` names. */
  variable(name: string): unknown
}

/** A parsed CEL expression. `evaluate` throws ExpressionError; its result is plain JSON. */
export interface Expression {
  source: string
  /** Ids of steps that it mentions, inner and outer. */
  steps: readonly string[]
  /** Other variables that it mentions: `input`, `now`, `vars` … */
  variables: readonly string[]
  /** Names after `vars.`. */
  vars: readonly string[]
  evaluate(env: Env): Json
}

/** A JSON value with expressions in it. */
export type Template =
  | { type: 'literal'; value: Json }
  | { type: 'expression'; expression: Expression }
  | { type: 'text'; parts: readonly (string | Expression)[] }
  | { type: 'secret'; parts: readonly (string | Expression | { secret: string })[] }
  | { type: 'list'; items: readonly Template[] }
  | { type: 'object'; entries: readonly (readonly [string, Template])[] }

export interface Need {
  /** Index into the steps of the same scope. */
  index: number
  require: 'satisfied' | 'succeeded'
}

export interface RetryPlan {
  /** The first try included. */
  attempts: number
  backoff: 'exponential' | 'fixed'
  initialMs: number
  maxMs: number
  jitter: boolean
  on?: Expression
}

export type OnErrorPlan = { mode: 'fail' } | { mode: 'continue' } | { mode: 'output'; output: Template }

export interface HttpPlan {
  kind: 'http'
  /** Renders to { method, url, headers?, query?, body?, auth? } of the wire's HttpRequest; headers and query values are text. */
  request: Template
  expect?: { status?: string[]; schema?: Json }
  response: 'auto' | 'json' | 'text' | 'base64'
  bytesMax?: number
  redirect?: 'follow' | 'manual' | 'error'
  callback: boolean
  paginate?: Paginate
}
export interface ApprovalPlan {
  kind: 'approval'
  /** Renders to { title, description?, data?, assignees? (text or list), timeout? (duration text) }. */
  question: Template
  form?: Json
  /** Normalised: at most one has `approves`, at most one `rejects`. */
  options: ApprovalOption[]
  quorum: number | 'all'
  veto: boolean
  allowSelf: boolean
  requireComment: boolean | string[]
  onTimeout: 'reject' | 'approve' | 'fail'
  onReject: 'fail' | 'continue'
  /** Renders to a list of { webhook | slack | email: … }; may hold secrets. */
  notify?: Template
  reminders?: Template
  escalate?: Template
}
export interface AgentPlan {
  kind: 'agent'
  /** Renders to { model, instructions?, prompt, session? }. */
  request: Template
  output?: Json
  tools?: Json[]
  maxTurns?: number
  budget?: { usd?: number; tokens?: number }
  approve?: string[]
}
export interface SetPlan {
  kind: 'set'
  value: Template
}
export interface SwitchPlan {
  kind: 'switch'
  cases: { condition: Expression; scope: Scope }[]
  default?: Scope
}
export interface ForEachPlan {
  kind: 'forEach'
  in: Template
  as?: string
  scope: Scope
  concurrency: number
  onItemError: 'fail' | 'continue'
}
export interface LoopPlan {
  kind: 'loop'
  scope: Scope
  while?: Expression
  until?: Expression
  max: number
  delay?: Template
}
export interface WaitPlan {
  kind: 'wait'
  for?: Template
  until?: Template
}
export interface FailPlan {
  kind: 'fail'
  code?: Template
  message?: Template
}
export interface TaskPlan {
  kind: 'task'
  /** Renders to a list of texts. */
  capabilities: Template
  payload?: Template
  leaseMs: number
  priority: number
}
export interface ChildPlan {
  kind: 'workflow'
  name: string
  version?: number
  tag?: string
  input?: Template
  wait: boolean
}
export interface WaitForPlan {
  kind: 'waitFor'
  event: Template
  where?: Expression
  timeout?: Template
  onTimeout: 'fail' | 'continue'
}
export interface EmitPlan {
  kind: 'emit'
  event: Template
}

export type KindPlan =
  | HttpPlan
  | ApprovalPlan
  | AgentPlan
  | SetPlan
  | SwitchPlan
  | ForEachPlan
  | LoopPlan
  | WaitPlan
  | FailPlan
  | TaskPlan
  | ChildPlan
  | WaitForPlan
  | EmitPlan

export interface PlanStep {
  id: string
  /** Index in its scope. */
  index: number
  kind: StepKind
  /** `name`, or the id. */
  name: string
  condition?: Expression
  /** All dependencies in its own scope, written, sequential and inferred, each once. */
  needs: readonly Need[]
  join: 'all' | 'any'
  /** Indexes of the steps of its scope that need it. */
  dependents: readonly number[]
  timeoutMs?: number
  retry: RetryPlan
  onError: OnErrorPlan
  body: KindPlan
  /** What undoes it. Its expressions may mention the step itself. */
  compensate?: PlanStep
  /** Names after `vars.` in any expression of the step. */
  vars: readonly string[]
  /** True when an expression of the step mentions `now`. */
  usesNow: boolean
}

export interface Scope {
  steps: readonly PlanStep[]
  byId: ReadonlyMap<string, number>
}

export interface Plan {
  checksum: string
  name: string
  /** JSON Schema 2020-12 of the run's input; undefined = anything. */
  input?: Json
  timeoutMs?: number
  concurrency?: { key: Template; limit: number; onConflict: 'queue' | 'reject' | 'cancel-running' }
  root: Scope
  output?: Template
  stepCount: number
  /** True when any expression mentions `vars`. */
  usesVars: boolean
  /** What its `workflow` steps start, each once. */
  children: readonly ChildRef[]
}

/** A workflow, and the version or tag of it that is meant. */
export interface ChildRef {
  name: string
  version?: number
  tag?: string
}

/** One text for each workflow, version and tag that is meant. */
export function childKeyOf({ name, version, tag }: ChildRef): string {
  return version !== undefined ? `${name}@${version}` : tag !== undefined ? `${name}#${tag}` : name
}
