/**
 * Cryptokey routing (paper, section 2): one table for each family, from prefix to peer, read as a
 * routing table on the way out and as an access list on the way in.
 *
 * A path-compressed binary trie in flat arrays. Nodes without an owner only branch, and always have two
 * children. What a descent reads is eight bytes a node, apart from the rest and kept together by
 * neighbourhood: in a large table it is the cache that takes the time. The nodes of a peer are a
 * linked list through the rows, so removing or listing a peer costs its own prefixes alone.
 */

// Two words of a node's links: children in the upper 24 bits; below them its prefix length, and whether it is owned.
const CHILD_SHIFT = 8;
const LOW = 0xff;
/** So many nodes can be told apart: enough for 8 million prefixes. */
const MAX_NODES: number = 2 ** 24;

// Words of its row. The key words come last.
const OWNER = 0;
const PARENT = 1;
const PREVIOUS = 2;
const NEXT = 3;
const KEY = 4;

/** Node 0 is no node. */
const NONE = 0;
const NOBODY = -1;
const SMALLEST = 16;
/** Nodes laid side by side: three levels, a cache line. */
const CLUSTER = 7;

export class AllowedIps {
  readonly #bits: 32 | 128;
  readonly #keyWords: number;
  readonly #row: number;
  #capacity = SMALLEST;
  #links: Int32Array = new Int32Array(2 * SMALLEST);
  #rows: Int32Array;
  /** First node never used, first one given back (linked by NEXT), and how many are in use. */
  #fresh = 1;
  #free = NONE;
  #used = 0;
  #root = NONE;
  /** By peer: its first and last node. */
  #lists: Int32Array = new Int32Array(0);
  /** The address under work, and a word past its end. */
  readonly #address: Int32Array = new Int32Array(5);
  /** Owned nodes on the way down. */
  readonly #path: Int32Array = new Int32Array(129);
  size = 0;

  constructor(bits: 32 | 128) {
    this.#bits = bits;
    this.#keyWords = bits / 32;
    this.#row = KEY + this.#keyWords;
    this.#rows = new Int32Array(SMALLEST * this.#row);
  }

  get memoryBytes(): number {
    return this.#links.byteLength + this.#rows.byteLength + this.#lists.byteLength;
  }

  /**
   * Goes down by the bits that branch alone, then compares one key: the last node's shares with the
   * address what all above it share.
   * @returns the owner of the longest prefix that holds the address at `bytes[offset]`, or -1
   */
  lookup(bytes: Uint8Array, offset: number): number {
    const links = this.#links;
    const address = this.#address;
    const path = this.#path;
    this.#load(bytes, offset);
    let depth = 0;
    let last = NONE;
    for (let node = this.#root; node !== NONE; ) {
      last = node;
      const cidr = links[2 * node]! & LOW;
      if ((links[2 * node + 1]! & LOW) !== 0) path[depth++] = node;
      node = links[2 * node + ((address[cidr >>> 5]! >>> ~cidr) & 1)]! >>> CHILD_SHIFT;
    }
    const shared = this.#shared(last, this.#bits);
    while (depth > 0) {
      const node = path[--depth]!;
      if ((links[2 * node]! & LOW) <= shared) return this.#rows[node * this.#row + OWNER]!;
    }
    return NOBODY;
  }

  /**
   * Gives a prefix to a peer, whoever had it. Host bits are ignored.
   * @returns the previous owner of exactly this prefix, or -1
   */
  set(address: Uint8Array, cidr: number, peer: number): number {
    // A new prefix takes two nodes at most.
    if (this.#used + 3 > this.#capacity) this.#move(Math.ceil(this.#capacity * 1.5));
    this.#load(address, 0);
    const node = this.#take(cidr);
    const previous = this.#rows[node * this.#row + OWNER]!;
    if (previous === peer) return peer;
    if (previous !== NOBODY) this.#unlink(node);
    else this.size++;
    this.#own(node, peer);
    this.#link(node, peer);
    return previous;
  }

  /** Takes a prefix from a peer. @returns false when it was not this peer's */
  remove(address: Uint8Array, cidr: number, peer: number): boolean {
    this.#load(address, 0);
    const node = this.#nearest(cidr);
    if (this.#cidr(node) !== cidr || this.#shared(node, cidr) !== cidr) return false;
    if (node === NONE || this.#rows[node * this.#row + OWNER] !== peer) return false;
    this.#clear(node);
    this.#compact();
    return true;
  }

  /** Takes all prefixes from a peer. */
  removePeer(peer: number): void {
    while (this.peerHas(peer)) this.#clear(this.#lists[2 * peer]!);
    this.#compact();
  }

  peerHas(peer: number): boolean {
    return 2 * peer < this.#lists.length && this.#lists[2 * peer] !== NONE;
  }

  /** The peer's prefixes, in the order it got them. */
  forEachOfPeer(peer: number, visit: (address: Uint8Array, cidr: number) => void): void {
    if (!this.peerHas(peer)) return;
    for (let node = this.#lists[2 * peer]!; node !== NONE; node = this.#rows[node * this.#row + NEXT]!) {
      const address = new Uint8Array(this.#bits / 8);
      const view = new DataView(address.buffer);
      for (let i = 0; i < this.#keyWords; i++) view.setInt32(4 * i, this.#rows[node * this.#row + KEY + i]!);
      visit(address, this.#cidr(node));
    }
  }

  #load(bytes: Uint8Array, offset: number): void {
    for (let i = 0; i < this.#keyWords; i++) {
      const at = offset + 4 * i;
      this.#address[i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    }
  }

  #cidr(node: number): number {
    return this.#links[2 * node]! & LOW;
  }

  #child(node: number, side: number): number {
    return this.#links[2 * node + side]! >>> CHILD_SHIFT;
  }

  #setChild(node: number, side: number, child: number): void {
    const at = 2 * node + side;
    this.#links[at] = (child << CHILD_SHIFT) | (this.#links[at]! & LOW);
  }

  #own(node: number, peer: number): void {
    this.#rows[node * this.#row + OWNER] = peer;
    const at = 2 * node + 1;
    this.#links[at] = (this.#links[at]! & ~LOW) | (peer === NOBODY ? 0 : 1);
  }

  /** The child on the address's side. */
  #next(node: number): number {
    const cidr = this.#cidr(node);
    return this.#child(node, (this.#address[cidr >>> 5]! >>> ~cidr) & 1);
  }

  /** Leading bits that the node's key and the address share, at most its prefix length and `limit`. */
  #shared(node: number, limit: number): number {
    const most = Math.min(limit, this.#cidr(node));
    const at = node * this.#row + KEY;
    for (let i = 0; i < this.#keyWords; i++) {
      const unlike = this.#rows[at + i]! ^ this.#address[i]!;
      if (unlike !== 0) return Math.min(most, 32 * i + Math.clz32(unlike));
    }
    return most;
  }

  /** Down by the address's bits: the first node at least `cidr` deep, or else the last one. */
  #nearest(cidr: number): number {
    let last = NONE;
    for (let node = this.#root; node !== NONE; node = this.#next(node)) {
      last = node;
      if (this.#cidr(node) >= cidr) break;
    }
    return last;
  }

  /** The node of the address and a prefix length, made when there is none. */
  #take(cidr: number): number {
    const shared = this.#shared(this.#nearest(cidr), cidr);
    let parent = NONE;
    let node = this.#root;
    while (node !== NONE && (this.#cidr(node) < shared || (this.#cidr(node) === shared && shared < cidr))) {
      parent = node;
      node = this.#next(node);
    }
    if (node !== NONE && this.#cidr(node) === cidr && shared === cidr) return node;
    const created = this.#allocate(cidr);
    if (node === NONE) {
      this.#attach(parent, created);
    } else if (shared === cidr) {
      this.#attach(parent, created);
      this.#attach(created, node);
    } else {
      const branch = this.#allocate(shared);
      this.#attach(parent, branch);
      this.#attach(branch, node);
      this.#attach(branch, created);
    }
    return created;
  }

  /** Puts a node below another, on the side its key says. */
  #attach(parent: number, node: number): void {
    this.#rows[node * this.#row + PARENT] = parent;
    if (parent === NONE) {
      this.#root = node;
      return;
    }
    const cidr = this.#cidr(parent);
    this.#setChild(parent, (this.#rows[node * this.#row + KEY + (cidr >>> 5)]! >>> ~cidr) & 1, node);
  }

  /** The prefix of `node` has no owner any more; nodes that serve nothing go. */
  #clear(node: number): void {
    this.#unlink(node);
    this.#own(node, NOBODY);
    this.size--;
    for (let at = node; at !== NONE && this.#rows[at * this.#row + OWNER] === NOBODY; ) {
      const left = this.#child(at, 0);
      const right = this.#child(at, 1);
      if (left !== NONE && right !== NONE) return;
      const parent = this.#rows[at * this.#row + PARENT]!;
      this.#replace(parent, at, left || right);
      this.#rows[at * this.#row + NEXT] = this.#free;
      this.#free = at;
      this.#used--;
      at = parent;
    }
  }

  #replace(parent: number, old: number, node: number): void {
    if (node !== NONE) this.#rows[node * this.#row + PARENT] = parent;
    if (parent === NONE) this.#root = node;
    else this.#setChild(parent, this.#child(parent, 0) === old ? 0 : 1, node);
  }

  #link(node: number, peer: number): void {
    if (2 * peer >= this.#lists.length) {
      const lists = new Int32Array(Math.max(8, Math.ceil((peer + 1) * 1.5)) * 2);
      lists.set(this.#lists);
      this.#lists = lists;
    }
    const row = this.#row;
    const last = this.#lists[2 * peer + 1]!;
    this.#rows[node * row + PREVIOUS] = last;
    this.#rows[node * row + NEXT] = NONE;
    if (last === NONE) this.#lists[2 * peer] = node;
    else this.#rows[last * row + NEXT] = node;
    this.#lists[2 * peer + 1] = node;
  }

  #unlink(node: number): void {
    const row = this.#row;
    const peer = this.#rows[node * row + OWNER]!;
    const previous = this.#rows[node * row + PREVIOUS]!;
    const next = this.#rows[node * row + NEXT]!;
    if (previous === NONE) this.#lists[2 * peer] = next;
    else this.#rows[previous * row + NEXT] = next;
    if (next === NONE) this.#lists[2 * peer + 1] = previous;
    else this.#rows[next * row + PREVIOUS] = previous;
  }

  /** A node with the address, masked, as its key. */
  #allocate(cidr: number): number {
    let node = this.#free;
    if (node !== NONE) this.#free = this.#rows[node * this.#row + NEXT]!;
    else node = this.#fresh++;
    this.#used++;
    const at = node * this.#row;
    this.#rows[at + OWNER] = NOBODY;
    this.#links[2 * node] = cidr;
    this.#links[2 * node + 1] = 0;
    for (let i = 0; i < this.#keyWords; i++) {
      const bits = Math.min(32, Math.max(0, cidr - 32 * i));
      this.#rows[at + KEY + i] = bits === 0 ? 0 : this.#address[i]! & (-1 << (32 - bits));
    }
    return node;
  }

  /** Gives memory back when little of it is in use. */
  #compact(): void {
    if (this.#capacity > SMALLEST && this.#used * 4 < this.#capacity) {
      this.#move(Math.max(SMALLEST, Math.ceil(this.#used * 1.5)));
    }
  }

  /** Moves everything to arrays of another size, neighbours next to each other. */
  #move(capacity: number): void {
    if (capacity > MAX_NODES) throw new RangeError('too many allowed IPs');
    const places = this.#arrange();
    const [links, rows, row] = [this.#links, this.#rows, this.#row];
    this.#links = new Int32Array(2 * capacity);
    this.#rows = new Int32Array(capacity * row);
    for (let node = 1; node < places.length; node++) {
      const place = places[node]!;
      if (place === NONE) continue;
      for (const side of [0, 1]) {
        const link = links[2 * node + side]!;
        this.#links[2 * place + side] = (places[link >>> CHILD_SHIFT]! << CHILD_SHIFT) | (link & LOW);
      }
      for (let i = 0; i < row; i++) {
        const word = rows[node * row + i]!;
        this.#rows[place * row + i] = i === PARENT || i === PREVIOUS || i === NEXT ? places[word]! : word;
      }
    }
    this.#capacity = capacity;
    this.#fresh = this.#used + 1;
    this.#free = NONE;
    this.#root = places[this.#root]!;
    const lists = this.#lists.map((node) => places[node]!);
    this.#lists = lists.slice(0, (lists.findLastIndex((node) => node !== NONE) | 1) + 1);
  }

  /** @returns by node, its new place: three levels side by side, and what is below them near by */
  #arrange(): Int32Array {
    const places = new Int32Array(this.#fresh);
    let count = 0;
    const pending = [this.#root];
    for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
      const cluster = [top];
      for (let i = 0; i < cluster.length; i++) {
        const node = cluster[i]!;
        if (node === NONE) continue;
        if (i >= CLUSTER) pending.push(node);
        else {
          places[node] = ++count;
          cluster.push(this.#child(node, 0), this.#child(node, 1));
        }
      }
    }
    return places;
  }
}
