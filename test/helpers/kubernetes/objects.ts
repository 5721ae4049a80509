import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

// The fields of Kubernetes' objects that our manifests use, as its API reference has them; any other is a mistake.

const labels = z.record(z.string().regex(/^[a-z0-9./_-]+$/i), z.string());
const name = z.string().regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
const portName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/);
const port = z.number().int().min(1).max(65535);
const quantity = z.string().regex(/^\d+(\.\d+)?(m|[KMGT]i?)?$/);
const seconds = z.number().int().positive();
const metadata = z.strictObject({ name, labels: labels.optional() });
const selector = z.strictObject({ matchLabels: labels });

const probe = z.strictObject({
  httpGet: z.strictObject({ path: z.string().startsWith('/'), port: portName }),
  periodSeconds: seconds.optional(),
  timeoutSeconds: seconds.optional(),
  failureThreshold: seconds.optional(),
});

const env = z.strictObject({
  name: z.string().regex(/^[A-Z_]+$/),
  value: z.string().optional(),
  valueFrom: z
    .union([
      z.strictObject({
        secretKeyRef: z.strictObject({ name, key: z.string(), optional: z.boolean().optional() }),
      }),
      z.strictObject({ fieldRef: z.strictObject({ fieldPath: z.enum(['status.podIP', 'status.hostIP']) }) }),
    ])
    .optional(),
});

const container = z.strictObject({
  name,
  image: z.string().regex(/^[a-z0-9./:_-]+$/),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  restartPolicy: z.literal('Always').optional(),
  command: z.array(z.string()).min(1),
  env: z.array(env).optional(),
  envFrom: z.array(z.strictObject({ secretRef: z.strictObject({ name }) })).optional(),
  ports: z.array(z.strictObject({ name: portName, containerPort: port })).optional(),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  securityContext: z.strictObject({
    runAsNonRoot: z.boolean().optional(),
    runAsUser: z.number().optional(),
    runAsGroup: z.number().optional(),
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]), add: z.array(z.string()).optional() }),
  }),
  resources: z
    .strictObject({
      requests: z.strictObject({ cpu: quantity, memory: quantity }),
      limits: z.strictObject({ memory: quantity }),
    })
    .optional(),
  volumeMounts: z.array(
    z.strictObject({ name, mountPath: z.string().startsWith('/'), readOnly: z.boolean().optional() }),
  ),
});

const volume = z.strictObject({
  name,
  configMap: z.strictObject({ name }).optional(),
  secret: z
    .strictObject({
      secretName: name,
      defaultMode: z.number().optional(),
      items: z.array(z.strictObject({ key: z.string(), path: z.string() })).optional(),
    })
    .optional(),
  emptyDir: z
    .strictObject({ medium: z.literal('Memory').optional(), sizeLimit: quantity.optional() })
    .optional(),
  hostPath: z
    .strictObject({ path: z.string().startsWith('/'), type: z.literal('DirectoryOrCreate') })
    .optional(),
  projected: z
    .strictObject({
      sources: z.tuple([
        z.strictObject({
          serviceAccountToken: z.strictObject({ path: z.string(), expirationSeconds: z.number().min(600) }),
        }),
        z.strictObject({
          configMap: z.strictObject({
            name,
            items: z.array(z.strictObject({ key: z.string(), path: z.string() })),
          }),
        }),
      ]),
    })
    .optional(),
});

const pod = z.strictObject({
  serviceAccountName: name,
  automountServiceAccountToken: z.literal(false),
  imagePullSecrets: z.array(z.strictObject({ name })).optional(),
  hostNetwork: z.boolean().optional(),
  dnsPolicy: z.literal('ClusterFirstWithHostNet').optional(),
  priorityClassName: name.optional(),
  nodeSelector: labels.optional(),
  tolerations: z
    .array(
      z.strictObject({
        key: z.string().optional(),
        operator: z.enum(['Exists', 'Equal']).optional(),
        value: z.string().optional(),
        effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
      }),
    )
    .optional(),
  terminationGracePeriodSeconds: seconds,
  topologySpreadConstraints: z
    .array(
      z.strictObject({
        maxSkew: seconds,
        topologyKey: z.string(),
        whenUnsatisfiable: z.enum(['ScheduleAnyway', 'DoNotSchedule']),
        labelSelector: selector,
      }),
    )
    .optional(),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.number().min(1),
    runAsGroup: z.number().min(1),
    fsGroup: z.number().optional(),
    fsGroupChangePolicy: z.literal('OnRootMismatch').optional(),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
  }),
  initContainers: z.array(container).optional(),
  containers: z.array(container).min(1),
  volumes: z.array(volume),
});

const template = z.strictObject({ metadata: z.strictObject({ labels }), spec: pod });
const claim = z.strictObject({
  metadata,
  spec: z.strictObject({
    accessModes: z.tuple([z.literal('ReadWriteOnce')]),
    storageClassName: name.optional(),
    resources: z.strictObject({ requests: z.strictObject({ storage: quantity }) }),
  }),
});
const peer = z.union([
  z.strictObject({ podSelector: selector }),
  z.strictObject({ namespaceSelector: selector }),
  z.strictObject({ ipBlock: z.strictObject({ cidr: z.string().regex(/^[0-9a-f.:]+\/\d+$/) }) }),
]);

const KINDS = {
  ClusterRole: z.strictObject({
    ...{ apiVersion: z.literal('rbac.authorization.k8s.io/v1'), kind: z.literal('ClusterRole'), metadata },
    rules: z.array(
      z.strictObject({
        apiGroups: z.array(z.string()),
        resources: z.array(z.string()),
        verbs: z.array(z.enum(['get', 'list', 'watch'])),
      }),
    ),
  }),
  ClusterRoleBinding: z.strictObject({
    ...{ apiVersion: z.literal('rbac.authorization.k8s.io/v1'), kind: z.literal('ClusterRoleBinding') },
    metadata,
    roleRef: z.strictObject({
      apiGroup: z.literal('rbac.authorization.k8s.io'),
      kind: z.literal('ClusterRole'),
      name,
    }),
    subjects: z.array(z.strictObject({ kind: z.literal('ServiceAccount'), name, namespace: name })),
  }),
  ConfigMap: z.strictObject({
    ...{ apiVersion: z.literal('v1'), kind: z.literal('ConfigMap'), metadata },
    data: z.record(z.string(), z.string()),
  }),
  DaemonSet: z.strictObject({
    ...{ apiVersion: z.literal('apps/v1'), kind: z.literal('DaemonSet'), metadata },
    spec: z.strictObject({
      selector,
      updateStrategy: z.strictObject({
        type: z.literal('RollingUpdate'),
        rollingUpdate: z.strictObject({ maxUnavailable: z.union([z.string().regex(/^\d+%$/), z.number()]) }),
      }),
      template,
    }),
  }),
  NetworkPolicy: z.strictObject({
    ...{ apiVersion: z.literal('networking.k8s.io/v1'), kind: z.literal('NetworkPolicy'), metadata },
    spec: z.strictObject({
      podSelector: selector,
      policyTypes: z.tuple([z.literal('Ingress')]),
      ingress: z.array(
        z.strictObject({
          from: z.array(peer).min(1),
          ports: z.array(z.strictObject({ protocol: z.literal('TCP'), port })),
        }),
      ),
    }),
  }),
  PodDisruptionBudget: z.strictObject({
    ...{ apiVersion: z.literal('policy/v1'), kind: z.literal('PodDisruptionBudget'), metadata },
    spec: z.strictObject({ maxUnavailable: z.number().min(1), selector }),
  }),
  Service: z.strictObject({
    ...{ apiVersion: z.literal('v1'), kind: z.literal('Service'), metadata },
    spec: z.strictObject({
      clusterIP: z.literal('None'),
      publishNotReadyAddresses: z.boolean().optional(),
      selector: labels,
      ports: z.array(z.strictObject({ name: portName, port, targetPort: portName })),
    }),
  }),
  ServiceAccount: z.strictObject({
    ...{ apiVersion: z.literal('v1'), kind: z.literal('ServiceAccount'), metadata },
    automountServiceAccountToken: z.literal(false),
  }),
  ServiceMonitor: z.strictObject({
    ...{ apiVersion: z.literal('monitoring.coreos.com/v1'), kind: z.literal('ServiceMonitor'), metadata },
    spec: z.strictObject({
      selector,
      endpoints: z.array(
        z.strictObject({
          port: portName,
          path: z.string(),
          interval: z.string().regex(/^\d+s$/),
          authorization: z
            .strictObject({ credentials: z.strictObject({ name, key: z.string() }) })
            .optional(),
        }),
      ),
    }),
  }),
  StatefulSet: z.strictObject({
    ...{ apiVersion: z.literal('apps/v1'), kind: z.literal('StatefulSet'), metadata },
    spec: z.strictObject({
      serviceName: name,
      replicas: z.number().int().min(1),
      podManagementPolicy: z.literal('Parallel'),
      selector,
      template,
      volumeClaimTemplates: z.array(claim),
    }),
  }),
} as const;

export type Pod = z.output<typeof pod>;
export type Container = z.output<typeof container>;
type Kind = keyof typeof KINDS;
export type KubernetesObject<K extends Kind = Kind> = z.output<(typeof KINDS)[K]>;

/** The objects of manifests. @throws Error naming the object and the field that is not as the API has it */
export function readObjects(text: string): KubernetesObject[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0] as Error;
    const value = document.toJS() as { kind?: Kind; metadata?: { name?: string } };
    const schema = value.kind === undefined ? undefined : KINDS[value.kind];
    if (schema === undefined) throw new Error(`kind ${value.kind ?? 'missing'}`);
    const { data, error } = schema.safeParse(value);
    if (error !== undefined) {
      throw new Error(`${value.kind} ${value.metadata?.name}: ${z.prettifyError(error)}`);
    }
    return data;
  });
}

export function ofKind<K extends Kind>(objects: readonly KubernetesObject[], kind: K): KubernetesObject<K>[] {
  return objects.filter((object) => object.kind === kind) as KubernetesObject<K>[];
}
