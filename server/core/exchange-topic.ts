// Topic matching: a trie of words. A message's words walk it with the nodes reached so far, each node once a word, so the cost
// is bounded by words times nodes that match, and no pattern of many '#' makes it explode. 0-9-1 §3.1.3.3.
import type { Binding } from './binding'
import type { Matcher } from './matcher'
import type { RoutedMessage } from './routed-message'

/** A hundred thousand bindings are as many nodes: what most of them lack is not made. */
class Node {
  children: Map<string, Node> | null = null
  star: Node | null = null
  hash: Node | null = null
  bindings: Set<Binding> | null = null
  /** The step of a match that last came here. */
  reachedAt = 0

  constructor(
    readonly parent: Node | null,
    readonly word: string,
  ) {}

  child(word: string): Node | null {
    if (word === '*') return this.star
    if (word === '#') return this.hash
    return this.children?.get(word) ?? null
  }

  makeChild(word: string): Node {
    const child = new Node(this, word)
    if (word === '*') this.star = child
    else if (word === '#') this.hash = child
    else {
      this.children ??= new Map()
      this.children.set(word, child)
    }
    return child
  }

  dropChild(word: string): void {
    if (word === '*') this.star = null
    else if (word === '#') this.hash = null
    else if (this.children?.delete(word) && this.children.size === 0) this.children = null
  }

  get isUnused(): boolean {
    return this.bindings === null && this.children === null && this.star === null && this.hash === null
  }
}

export class TopicMatcher implements Matcher {
  readonly isRepeatable = true
  private readonly root = new Node(null, '')
  private step = 0
  private reached: Node[] = []
  private next: Node[] = []

  add(binding: Binding): void {
    let node = this.root
    for (const word of wordsOf(binding.routingKey)) node = node.child(word) ?? node.makeChild(word)
    node.bindings ??= new Set()
    node.bindings.add(binding)
  }

  remove(binding: Binding): void {
    let node: Node | null = this.root
    for (const word of wordsOf(binding.routingKey)) node = node?.child(word) ?? null
    if (node?.bindings?.delete(binding) && node.bindings.size === 0) node.bindings = null
    for (; node !== null && node.parent !== null && node.isUnused; node = node.parent) node.parent.dropChild(node.word)
  }

  match({ routingKeys }: RoutedMessage, visit: (binding: Binding) => void): void {
    for (const key of routingKeys) this.matchKey(key, visit)
  }

  private matchKey(key: string, visit: (binding: Binding) => void): void {
    this.step++
    this.reached.length = 0
    this.enter(this.root, this.reached)
    for (const word of wordsOf(key)) {
      this.step++
      this.next.length = 0
      for (const node of this.reached) this.advance(node, word)
      const spent = this.reached
      this.reached = this.next
      this.next = spent
    }
    for (const { bindings } of this.reached) bindings?.forEach(visit)
  }

  /** Reaching a node also reaches its '#' child, which stands for no words at all. */
  private enter(from: Node, reached: Node[]): void {
    for (let node: Node | null = from; node !== null && node.reachedAt !== this.step; node = node.hash) {
      node.reachedAt = this.step
      reached.push(node)
    }
  }

  private advance(node: Node, word: string): void {
    if (node.word === '#') this.enter(node, this.next)
    const exact = node.children?.get(word)
    if (exact !== undefined) this.enter(exact, this.next)
    if (node.star !== null) this.enter(node.star, this.next)
  }
}

/** The empty key has no words at all, as in RabbitMQ; 'a..b' has an empty one, which '*' matches. */
function wordsOf(key: string): string[] {
  return key === '' ? [] : key.split('.')
}
