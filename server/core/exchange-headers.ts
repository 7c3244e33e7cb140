// Headers matching: x-match all (default), any, all-with-x, any-with-x. A null (void) value in the binding asks for
// presence only. Header names that start with x- count only in the -with-x forms. RabbitMQ docs "Headers Exchange".
import { ChannelError, ReplyCode } from '../../protocol'
import {
  type FieldTable,
  type FieldValue,
  fieldEquals,
  fieldTypeName,
  fieldValueText,
} from '../../protocol/field-table'
import { binaryText } from './arguments'
import type { Binding } from './binding'
import type { Arguments } from './core-api'
import type { Matcher } from './matcher'
import type { RoutedMessage } from './routed-message'

interface Rule {
  any: boolean
  fields: [name: string, value: FieldValue][]
}

export class HeadersMatcher implements Matcher {
  readonly isRepeatable = false
  private readonly rules = new Map<Binding, Rule>()

  add(binding: Binding): void {
    this.rules.set(binding, ruleOf(binding.arguments))
  }

  remove(binding: Binding): void {
    this.rules.delete(binding)
  }

  match(message: RoutedMessage, visit: (binding: Binding) => void): void {
    if (this.rules.size === 0) return
    const { headers } = message
    for (const [binding, rule] of this.rules) if (matches(rule, headers)) visit(binding)
  }
}

const X_MATCH = ['all', 'any', 'all-with-x', 'any-with-x']

/** Throws 406 for an x-match that is none. */
export function checkHeadersArguments(args: Arguments): void {
  const value = args['x-match']
  if (value === undefined || (typeof value === 'string' && X_MATCH.includes(value))) return
  const text = value === null ? 'undefined' : fieldValueText(value)
  const reason =
    typeof value === 'string'
      ? `Invalid x-match field value ${binaryText(value)}; expected all, any, all-with-x, or any-with-x`
      : `Invalid x-match field type ${fieldTypeName(value)} (value ${text}); expected longstr`
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, reason)
}

function ruleOf(args: Arguments): Rule {
  const mode = args['x-match'] ?? 'all'
  const withX = mode === 'all-with-x' || mode === 'any-with-x'
  const fields: Rule['fields'] = []
  for (const [name, value] of Object.entries(args)) {
    if (name === 'x-match' || (!withX && name.startsWith('x-'))) continue
    fields.push([name, value])
  }
  return { any: mode === 'any' || mode === 'any-with-x', fields }
}

function matches(rule: Rule, table: FieldTable): boolean {
  const hit = ([name, expected]: [string, FieldValue]) => {
    const value = Object.hasOwn(table, name) ? table[name] : undefined
    if (value === undefined) return false
    return expected === null || fieldEquals(value, expected)
  }
  return rule.any ? rule.fields.some(hit) : rule.fields.every(hit)
}
