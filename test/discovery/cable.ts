import type { MultiaddrConnection, Transport } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';

/** A network of libp2p processes that can be cut and mended: nothing passes while it is cut. */
export interface Cable {
  readonly transport: typeof tcp;
  cut: boolean;
}

export function createCable(): Cable {
  const connections = new Set<MultiaddrConnection>();
  let cut = false;
  return {
    // Every connection is dialled by somebody, so that the dialling side is all there is to hold.
    transport: (init) => (components) => {
      const plain = tcp(init)(components);
      const dial: Transport['dial'] = async (address, options) => {
        if (cut) throw new Error('the cable is cut');
        const { upgrader } = options;
        return await plain.dial(address, {
          ...options,
          upgrader: new Proxy(upgrader, {
            get: (target, name) => {
              const value: unknown = Reflect.get(target, name);
              if (name !== 'upgradeOutbound') return bound(value, target);
              return (connection: MultiaddrConnection, ...rest: [never]) => {
                connections.add(connection);
                connection.addEventListener('close', () => connections.delete(connection));
                if (cut) connection.abort(new Error('the cable is cut'));
                return target.upgradeOutbound(connection, ...rest);
              };
            },
          }),
        });
      };
      return new Proxy(plain, {
        get: (target, name) => {
          if (name === 'dial') return dial;
          const value: unknown = Reflect.get(target, name);
          return bound(value, target);
        },
      });
    },
    get cut() {
      return cut;
    },
    set cut(now) {
      cut = now;
      if (now) for (const connection of connections) connection.abort(new Error('the cable is cut'));
    },
  };
}

function bound(value: unknown, target: object): unknown {
  return typeof value === 'function' ? (value.bind(target) as unknown) : value;
}
