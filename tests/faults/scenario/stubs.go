package scenario

var badBlocks []Scenario
var syncFailure []Scenario
var fullDisk []Scenario
var crashStates []Scenario
var deadDisk []Scenario
var systemCalls []Scenario
var kills []Scenario
var environment []Scenario
