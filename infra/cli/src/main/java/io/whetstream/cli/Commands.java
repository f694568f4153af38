package io.whetstream.cli;

import java.util.ArrayList;
import java.util.List;

/** The subcommands, one a line, in the order in which help shows them. */
final class Commands {
  private Commands() {}

  /** A fresh instance of each. Instances must be cheap: nothing is loaded before a command runs. */
  static List<Object> all() {
    List<Object> commands = new ArrayList<>();
    commands.add(new ScenesCommand());
    commands.add(new PretrainDemoCommand());
    commands.add(new TrainCommand());
    commands.add(new EmbedCommand());
    commands.add(new EvalCommand());
    commands.add(new PlanCommand());
    commands.add(new ExportOnnxCommand());
    commands.add(new DemoCommand());
    commands.add(new JobCommand());
    commands.add(new ConsoleCommand());
    commands.add(new ExplainCommand());
    commands.add(new BacktestCommand());
    commands.add(new TopicsCommand());
    commands.add(new ProduceCommand());
    commands.add(new QueriesCommand());
    commands.add(new AlertsCommand());
    commands.add(new DeadLettersCommand());
    commands.add(new AdaptersCommand());
    commands.add(new BenchCommand());
    commands.add(new DoctorCommand());
    return commands;
  }
}
