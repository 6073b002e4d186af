// Reports that wait on this device. IndexedDB: neither a reload, a restart nor a full page of other tabs loses one.

const STORE = "reports";

/** @typedef {{key: string, to: string, token?: string, body: Record<string, unknown>, at: number, label: string, what?: string, photo?: Blob, photoless?: boolean, refused?: string, by?: string}} Waiting `by`: the account that wrote it; `what`: as its button says it; `photoless`: its photo cannot be read or was refused */

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

function opened() {
  opening ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open("vigie", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "key" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  opening.catch(() => (opening = null));
  return opening;
}

/**
 * @template T @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} ask
 * @returns {Promise<T>} once it is durable
 */
async function within(mode, ask) {
  const db = await opened();
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(STORE, mode, { durability: "strict" });
    const request = ask(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** @returns {Promise<Waiting[]>} oldest first */
export async function all() {
  return (await within("readonly", (store) => store.getAll())).sort((a, b) => a.at - b.at);
}

/** @param {Waiting} report */
export async function keep(report) {
  await within("readwrite", (store) => store.put(report));
}

/** @param {string} key */
export async function forget(key) {
  await within("readwrite", (store) => store.delete(key));
}
