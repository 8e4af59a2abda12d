package scenario

var systemCalls []Scenario
var environment []Scenario
