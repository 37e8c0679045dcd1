package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const kubernetes = "deploy/kubernetes"

// manifests are all objects of a kustomization, strictly decoded.
type manifests struct {
	where          string
	deployments    []apps.Deployment
	jobs           []batch.Job
	configMaps     []core.ConfigMap
	services       []core.Service
	disruptions    []policy.PodDisruptionBudget
	networks       []networking.NetworkPolicy
	monitors       []v1.ServiceMonitor
	scales         []scaledObject
	authentication []triggerAuthentication
}

func checkKubernetes(f *findings, source *source, own *settings) {
	service, setup := build(f, kubernetes), build(f, kubernetes+"/setup")
	checkListed(f)
	secret := core.Secret{}
	const example = kubernetes + "/secret.example.yaml"
	if err := strict([]byte(f.read(example)), &secret); err != nil {
		f.wrong(example, "%v", err)
	}
	k := &cluster{f, source, own, secret}
	partitions := 0
	for _, job := range setup.jobs {
		where := setup.where + ": " + job.Name
		k.checkPod(where, setup, job.Spec.Template)
		f.must(job.Spec.Template.Spec.RestartPolicy == core.RestartPolicyNever, where, "a job's pod must not be started again in place")
		for _, container := range job.Spec.Template.Spec.Containers {
			if !strings.HasPrefix(container.Image, "muster:") {
				partitions = checkTopics(f, own, where, environment(container))
			}
		}
	}
	f.must(len(setup.jobs) == 2, setup.where, "two jobs are expected")
	f.must(len(service.deployments) == 1, service.where, "one deployment is expected")
	for _, deployment := range service.deployments {
		k.checkDeployment(service, deployment)
		k.checkScale(service, deployment, partitions)
	}
}

// cluster is what manifests are held to.
type cluster struct {
	f      *findings
	source *source
	own    *settings
	secret core.Secret
}

func build(f *findings, folder string) *manifests {
	m := &manifests{where: folder}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(f.root, folder))
	if err != nil {
		f.wrong(folder, "%v", err)
		return m
	}
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			f.wrong(folder, "%v", err)
			continue
		}
		where := fmt.Sprintf("%s: %s %s", folder, resource.GetKind(), resource.GetName())
		f.must(resource.GetKind() == "Namespace" || resource.GetNamespace() == "muster", where, "is not in the namespace")
		if err := m.decode(resource.GetApiVersion()+" "+resource.GetKind(), text); err != nil {
			f.wrong(where, "%v", err)
		}
	}
	f.held("%s: built as kubectl does, %d objects strictly decoded", folder, built.Size())
	return m
}

func (m *manifests) decode(kind string, text []byte) error {
	switch kind {
	case "v1 Namespace":
		return strict(text, &core.Namespace{})
	case "v1 ConfigMap":
		return decodeInto(text, &m.configMaps)
	case "v1 Service":
		return decodeInto(text, &m.services)
	case "apps/v1 Deployment":
		return decodeInto(text, &m.deployments)
	case "batch/v1 Job":
		return decodeInto(text, &m.jobs)
	case "policy/v1 PodDisruptionBudget":
		return decodeInto(text, &m.disruptions)
	case "networking.k8s.io/v1 NetworkPolicy":
		return decodeInto(text, &m.networks)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return decodeInto(text, &m.monitors)
	case "keda.sh/v1alpha1 ScaledObject":
		return decodeInto(text, &m.scales)
	case "keda.sh/v1alpha1 TriggerAuthentication":
		return decodeInto(text, &m.authentication)
	}
	return fmt.Errorf("`%s` is a kind that nothing here decodes", kind)
}

func decodeInto[T any](text []byte, list *[]T) error {
	var one T
	err := strict(text, &one)
	*list = append(*list, one)
	return err
}

// strict decodes as the API server does when asked to be strict: no unknown field, none twice, none in another case.
func strict(text []byte, into any) error {
	document, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	complaints, err := json.UnmarshalStrict(document, into)
	return errors.Join(append(complaints, err)...)
}

// checkListed finds files that no kustomization names.
func checkListed(f *findings) {
	for _, path := range f.filesUnder(kubernetes, ".yaml") {
		name := filepath.Base(path)
		if name == "kustomization.yaml" || name == "secret.example.yaml" {
			continue
		}
		list := f.read(filepath.Join(filepath.Dir(path), "kustomization.yaml"))
		f.must(strings.Contains(list, "  - "+name+"\n"), path, "kustomization.yaml beside it does not name it")
	}
}

func environment(container core.Container) types.MappingWithEquals {
	values := types.MappingWithEquals{}
	for _, variable := range container.Env {
		values[variable.Name] = &variable.Value
	}
	return values
}

// checkPod holds any pod to having no rights, and to finding what it mounts and reads.
func (k *cluster) checkPod(where string, m *manifests, template core.PodTemplateSpec) {
	f, pod := k.f, template.Spec
	context := pod.SecurityContext
	if context == nil || context.RunAsUser == nil || context.RunAsNonRoot == nil || context.SeccompProfile == nil {
		f.wrong(where, "the pod's securityContext must have runAsUser, runAsNonRoot and seccompProfile")
		return
	}
	f.must(*context.RunAsUser > 0 && *context.RunAsNonRoot, where, "must not run as root")
	f.must(context.RunAsGroup == nil || *context.RunAsGroup > 0, where, "must not run in root's group")
	f.must(context.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, where, "seccompProfile must be RuntimeDefault")
	f.must(pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken, where, "must not be given a token of Kubernetes")
	f.must(covered(m.networks, template.Labels), where, "no NetworkPolicy covers it")
	secrets := k.checkVolumes(where, m, pod)
	for _, container := range pod.Containers {
		k.checkContainer(where, pod, container, secrets)
	}
}

func covered(networks []networking.NetworkPolicy, of map[string]string) bool {
	return slices.ContainsFunc(networks, func(network networking.NetworkPolicy) bool {
		return selects(&network.Spec.PodSelector, of) && len(network.Spec.PolicyTypes) == 2
	})
}

func selects(selector *meta.LabelSelector, of map[string]string) bool {
	matching, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && !matching.Empty() && matching.Matches(labels.Set(of))
}

// checkVolumes looks up what volumes are of, and lists what secrets have under which paths, by volume.
func (k *cluster) checkVolumes(where string, m *manifests, pod core.PodSpec) map[string][]string {
	secrets := map[string][]string{}
	for _, volume := range pod.Volumes {
		if source := volume.ConfigMap; source != nil {
			there := slices.ContainsFunc(m.configMaps, func(one core.ConfigMap) bool { return one.Name == source.Name })
			k.f.must(there, where, "mounts ConfigMap `%s`, which nothing makes", source.Name)
		}
		source := volume.Secret
		if source == nil {
			continue
		}
		k.f.must(source.SecretName == k.secret.Name, where, "mounts secret `%s`, which secret.example.yaml does not show", source.SecretName)
		k.f.must(source.DefaultMode != nil && *source.DefaultMode == 0o440, where, "a secret must have defaultMode 0440")
		k.f.must(len(source.Items) > 0, where, "must name which items of the secret it gets")
		for _, item := range source.Items {
			_, there := k.secret.StringData[item.Key]
			k.f.must(there, where, "mounts `%s` of the secret, which secret.example.yaml does not show", item.Key)
			secrets[volume.Name] = append(secrets[volume.Name], item.Path)
		}
	}
	return secrets
}

func (k *cluster) checkContainer(where string, pod core.PodSpec, container core.Container, secrets map[string][]string) {
	f := k.f
	checkTag(f, k.source, where, container.Image)
	context := container.SecurityContext
	if context == nil || context.ReadOnlyRootFilesystem == nil || context.AllowPrivilegeEscalation == nil || context.Capabilities == nil {
		f.wrong(where, "the container's securityContext must be complete")
		return
	}
	f.must(*context.ReadOnlyRootFilesystem, where, "its root filesystem must be read-only")
	f.must(!*context.AllowPrivilegeEscalation, where, "must not gain rights")
	f.must(slices.Contains(context.Capabilities.Drop, "ALL"), where, "must give up all capabilities")
	f.must(context.RunAsUser == nil || *context.RunAsUser > 0, where, "must not run as root")
	resources := container.Resources
	f.must(!resources.Requests.Cpu().IsZero() && !resources.Requests.Memory().IsZero() && !resources.Limits.Memory().IsZero(), where,
		"must ask for processors and memory, and bound its memory")
	var files []string
	for _, mount := range container.VolumeMounts {
		known := slices.ContainsFunc(pod.Volumes, func(volume core.Volume) bool { return volume.Name == mount.Name })
		f.must(known, where, "mounts volume `%s`, which the pod has not", mount.Name)
		for _, name := range secrets[mount.Name] {
			files = append(files, mount.MountPath+"/"+name)
		}
	}
	wanted := k.own.files()
	if !strings.HasPrefix(container.Image, "muster:") {
		wanted = nil
		for _, variable := range container.Env {
			if strings.HasPrefix(variable.Value, "/run/secrets/") {
				wanted = append(wanted, variable.Value)
			}
		}
	}
	for _, path := range wanted {
		f.must(slices.Contains(files, path), where, "reads `%s`, which no secret gives it", path)
	}
}

func (k *cluster) checkDeployment(m *manifests, deployment apps.Deployment) {
	f, template := k.f, deployment.Spec.Template
	where := m.where + ": " + deployment.Name
	k.checkPod(where, m, template)
	f.must(selects(deployment.Spec.Selector, template.Labels), where, "its selector does not match its pods")
	f.must(len(template.Spec.TopologySpreadConstraints) > 0, where, "its pods must be spread")
	for _, spread := range template.Spec.TopologySpreadConstraints {
		f.must(selects(spread.LabelSelector, template.Labels), where, "spreads other pods than its own")
	}
	if len(template.Spec.Containers) != 1 {
		f.wrong(where, "one container is expected")
		return
	}
	container := template.Spec.Containers[0]
	k.checkEnd(where, template.Spec, container)
	port := core.ContainerPort{}
	if len(container.Ports) == 1 {
		port = container.Ports[0]
	}
	f.must(int(port.ContainerPort) == k.own.port(), where, "containerPort is %d, and the settings listen on %s", port.ContainerPort, k.own.HTTP.Listen)
	for name, probe := range map[string]*core.Probe{
		"startupProbe": container.StartupProbe, "livenessProbe": container.LivenessProbe, "readinessProbe": container.ReadinessProbe,
	} {
		if probe == nil || probe.HTTPGet == nil {
			f.wrong(where, "%s is missing", name)
			continue
		}
		checkProbe(f, k.source, where+" "+name, probe.HTTPGet.Path)
		k.checkPort(where+" "+name, probe.HTTPGet.Port, port)
		f.must((probe.HTTPGet.Path == "/readyz") == (name == "readinessProbe"), where,
			"%s asks %s: a service that waits must not be started anew", name, probe.HTTPGet.Path)
	}
	k.checkArtefacts(where, template.Spec, container)
	f.must(container.Resources.Limits.Cpu().IsZero(), where, "a limit of processors counts against calls into rule modules")
	f.must(container.Resources.Requests.Cpu().Value() == int64(k.own.Engine.Threads), where,
		"asks for %s processors, and `engine.threads` is %d", container.Resources.Requests.Cpu(), k.own.Engine.Threads)
	k.checkAround(m, template.Labels, port)
}

// checkEnd holds the time that a pod has to end to what ending takes.
func (k *cluster) checkEnd(where string, pod core.PodSpec, container core.Container) {
	pause := time.Duration(0)
	if container.Lifecycle != nil && container.Lifecycle.PreStop != nil && container.Lifecycle.PreStop.Sleep != nil {
		pause = time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	k.f.must(pod.TerminationGracePeriodSeconds != nil &&
		time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second > pause+k.own.drain(), where,
		"terminationGracePeriodSeconds must be longer than the pause of %s and `http.drain_wait` of %s together", pause, k.own.drain())
}

func (k *cluster) checkPort(where string, named intstr.IntOrString, port core.ContainerPort) {
	if named.Type == intstr.String {
		k.f.must(named.StrVal == port.Name, where, "names port `%s`, the container's is `%s`", named.StrVal, port.Name)
		return
	}
	k.f.must(named.IntVal == port.ContainerPort, where, "names port %d, the container's is %d", named.IntVal, port.ContainerPort)
}

func (k *cluster) checkArtefacts(where string, pod core.PodSpec, container core.Container) {
	writable := slices.ContainsFunc(container.VolumeMounts, func(mount core.VolumeMount) bool {
		return mount.MountPath == k.own.Modules.Artefacts && !mount.ReadOnly && slices.ContainsFunc(pod.Volumes, func(volume core.Volume) bool {
			return volume.Name == mount.Name && volume.EmptyDir != nil && volume.EmptyDir.SizeLimit != nil
		})
	})
	k.f.must(writable, where, "`modules.artefacts` is %s, where no bounded folder is mounted to be written to", k.own.Modules.Artefacts)
}

// checkAround holds what stands around the pods to their labels and their port.
func (k *cluster) checkAround(m *manifests, of map[string]string, port core.ContainerPort) {
	f := k.f
	f.must(len(m.services) == 1 && len(m.disruptions) == 1, m.where, "one Service and one PodDisruptionBudget are expected")
	for _, service := range m.services {
		where := m.where + ": Service " + service.Name
		f.must(selects(&meta.LabelSelector{MatchLabels: service.Spec.Selector}, of), where, "selects no pod of the deployment")
		for _, one := range service.Spec.Ports {
			k.checkPort(where, one.TargetPort, port)
			f.must(int(one.Port) == k.own.port(), where, "port %d is not the service's", one.Port)
		}
		for _, monitor := range m.monitors {
			k.checkMonitor(m.where+": ServiceMonitor "+monitor.Name, monitor, service)
		}
	}
	for _, disruption := range m.disruptions {
		where := m.where + ": PodDisruptionBudget " + disruption.Name
		f.must(selects(disruption.Spec.Selector, of), where, "selects no pod of the deployment")
	}
	for _, network := range m.networks {
		for _, rule := range network.Spec.Ingress {
			for _, one := range rule.Ports {
				f.must(one.Port != nil && one.Port.IntValue() == k.own.port(), m.where+": NetworkPolicy "+network.Name, "lets another port in than the service's")
			}
		}
	}
}

func (k *cluster) checkMonitor(where string, monitor v1.ServiceMonitor, service core.Service) {
	f := k.f
	f.must(selects(&monitor.Spec.Selector, service.Labels), where, "selects no service")
	for _, endpoint := range monitor.Spec.Endpoints {
		need, there := k.source.routes[endpoint.Path]
		f.must(there, where, "`%s` is no path in host/src/api/routes.rs", endpoint.Path)
		f.must(slices.ContainsFunc(service.Spec.Ports, func(port core.ServicePort) bool { return port.Name == endpoint.Port }), where,
			"names port `%s`, which the Service has not", endpoint.Port)
		if need == "Open" {
			continue
		}
		if endpoint.Authorization == nil || endpoint.Authorization.Credentials == nil {
			f.wrong(where, "`%s` needs a token", endpoint.Path)
			continue
		}
		k.checkSecret(where, endpoint.Authorization.Credentials.Name, endpoint.Authorization.Credentials.Key)
	}
}

func (k *cluster) checkSecret(where, name, key string) {
	_, there := k.secret.StringData[key]
	k.f.must(name == k.secret.Name && there, where, "reads `%s` of secret `%s`, which secret.example.yaml does not show", key, name)
}

func (k *cluster) checkScale(m *manifests, deployment apps.Deployment, partitions int) {
	f := k.f
	f.must(len(m.scales) == 1, m.where, "one ScaledObject is expected")
	f.must(deployment.Spec.Replicas == nil, m.where, "the deployment has `replicas`, which the ScaledObject is to say")
	for _, scale := range m.scales {
		where, spec := m.where+": ScaledObject "+scale.Name, scale.Spec
		f.must(spec.ScaleTargetRef.Name == deployment.Name, where, "scales `%s`, which is not there", spec.ScaleTargetRef.Name)
		if spec.MinReplicaCount == nil || spec.MaxReplicaCount == nil {
			f.wrong(where, "must have minReplicaCount and maxReplicaCount")
			continue
		}
		f.must(int(*spec.MaxReplicaCount) <= partitions, where, "maxReplicaCount is %d, and the job makes %d partitions: the rest would read nothing",
			*spec.MaxReplicaCount, partitions)
		f.must(*spec.MinReplicaCount >= 2 && *spec.MinReplicaCount <= *spec.MaxReplicaCount, where, "minReplicaCount must be 2 to maxReplicaCount")
		f.must(len(spec.Triggers) == 1, where, "one trigger is expected")
		for _, trigger := range spec.Triggers {
			k.checkTrigger(where, m, trigger)
		}
	}
}

func (k *cluster) checkTrigger(where string, m *manifests, trigger scaledObjectTrigger) {
	f, source := k.f, k.own.Pulsar.Source
	f.must(trigger.Type == "pulsar", where, "`%s` is not Pulsar's scaler", trigger.Type)
	for key := range trigger.Metadata {
		f.must(pulsarScaler[key], where, "Pulsar's scaler reads no `%s`", key)
	}
	f.must(strings.HasPrefix(trigger.Metadata["adminURL"], "http"), where, "adminURL must be the address of Pulsar's administration")
	f.must(slices.Contains(source.Topics, trigger.Metadata["topic"]), where, "topic `%s` is not in the settings", trigger.Metadata["topic"])
	f.must(trigger.Metadata["subscription"] == source.Subscription, where, "subscription `%s` is not the settings'", trigger.Metadata["subscription"])
	f.must(trigger.Metadata["isPartitionedTopic"] == "true", where, "isPartitionedTopic must be \"true\": the job makes partitions")
	threshold, err := strconv.Atoi(trigger.Metadata["msgBacklogThreshold"])
	f.must(err == nil && threshold > 0, where, "msgBacklogThreshold must be a number")
	said := fmt.Sprintf("The one there, %d,", threshold)
	f.must(strings.Contains(f.read("deploy/README.md"), said), where, "the sizing in deploy/README.md does not say `%s`", said)
	found := false
	for _, one := range m.authentication {
		found = found || one.Name == trigger.AuthenticationRef.Name
		for _, parameter := range one.Spec.SecretTargetRef {
			f.must(pulsarParameters[parameter.Parameter], where, "Pulsar's scaler takes no `%s`", parameter.Parameter)
			k.checkSecret(where, parameter.Name, parameter.Key)
		}
	}
	f.must(found, where, "TriggerAuthentication `%s` is not there", trigger.AuthenticationRef.Name)
}
