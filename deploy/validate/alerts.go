package main

import (
	"io"
	"log/slog"
	"regexp"
	"strings"

	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const alertsFile = "deploy/alerts.yaml"

var heading = regexp.MustCompile(`(?m)^### (Muster[A-Za-z]+)$`)

func checkAlerts(f *findings, source *source) {
	text := f.read(alertsFile)
	promql := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.Parse([]byte(text), false, model.UTF8Validation, promql, slog.New(slog.NewTextHandler(io.Discard, nil)))
	for _, err := range errs {
		f.wrong(alertsFile, "%v", err)
	}
	if groups == nil {
		return
	}
	described := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(f.read("deploy/README.md"), -1) {
		described[found[1]] = true
	}
	alerts := 0
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			alerts++
			where := alertsFile + ": " + rule.Alert
			checkExpression(f, source, where, promql, rule.Expr)
			f.must(described[rule.Alert], where, "deploy/README.md does not say what to do about it")
			delete(described, rule.Alert)
			f.must(rule.Labels["severity"] != "" && rule.Annotations["summary"] != "", where, "needs a severity and a summary")
		}
	}
	for name := range described {
		f.wrong("deploy/README.md", "says what to do about `%s`, which is no alert", name)
	}
	// As README.md has it wrapped for the Prometheus Operator.
	wrapped := "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
	if err := strict([]byte(wrapped), &v1.PrometheusRule{}); err != nil {
		f.wrong(alertsFile, "as a PrometheusRule: %v", err)
	}
	f.held("%s: parsed as Prometheus does, %d alerts on figures that there are", alertsFile, alerts)
}

func checkExpression(f *findings, source *source, where string, promql parser.Parser, text string) {
	expression, err := promql.ParseExpr(text)
	if err != nil {
		return // Told already.
	}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, is := node.(*parser.VectorSelector); is {
			f.must(source.metrics[selector.Name], where, "`%s` is no figure of host/src/metrics.rs", selector.Name)
		}
		return nil
	})
}
